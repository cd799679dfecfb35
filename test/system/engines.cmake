# SPDX-License-Identifier: Apache-2.0
# External engines: private clamd, c-icap, rspamd and spamd, and one that fails in every way.
postern_system_test(engines COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/system/engines_test.py")
