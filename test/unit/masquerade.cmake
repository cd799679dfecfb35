# SPDX-License-Identifier: Apache-2.0
# Masquerade: rewritten fields judged by other readers, tables, the stage.
postern_unit_test(masquerade SOURCES unit/masquerade_test.cc unit/masquerade_table_test.cc unit/recipients_test.cc LINK postern_stages)
add_executable(rewrite-dump support/rewrite_dump.cc)
target_link_libraries(rewrite-dump PRIVATE postern_message PkgConfig::GMIME nlohmann_json::nlohmann_json)
add_test(NAME unit-rewrite-crosscheck COMMAND ${PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/unit/rewrite_crosscheck.py" $<TARGET_FILE:rewrite-dump>)
set_tests_properties(unit-rewrite-crosscheck PROPERTIES LABELS "ci;unit" TIMEOUT 300)
