# SPDX-License-Identifier: Apache-2.0
# The store: one set of tests for SQLite and for a PostgreSQL server that the run starts for itself.
add_executable(unit-store unit/store_outbox_test.cc unit/store_quarantine_test.cc)
target_link_libraries(unit-store PRIVATE postern_store PkgConfig::PQ GTest::gtest_main GTest::gmock)
add_test(NAME unit-store COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/support/postgres.py" $<TARGET_FILE:unit-store>)
set_tests_properties(unit-store PROPERTIES LABELS "ci;unit" TIMEOUT 300 ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
