# SPDX-License-Identifier: Apache-2.0
# External engines: their answers, and what becomes of servers that fail; engines_test.py has real ones.
postern_unit_test(inspect
  SOURCES unit/inspect_replies_test.cc unit/inspect_engine_test.cc unit/inspect_health_test.cc
  LINK postern_inspect Threads::Threads)
postern_unit_test(rules-engines SOURCES unit/rules_engines_test.cc LINK postern_rules)
