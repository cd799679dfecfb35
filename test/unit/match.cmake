# SPDX-License-Identifier: Apache-2.0
postern_unit_test(match
  SOURCES unit/match_regex_test.cc unit/match_pattern_set_test.cc unit/match_smart_id_test.cc unit/match_dictionary_test.cc
  LINK postern_match PkgConfig::PCRE2)
