# SPDX-License-Identifier: Apache-2.0
# The store: one set of tests for SQLite and for a PostgreSQL server that the run starts for itself.
add_executable(unit-store unit/store_outbox_test.cc unit/store_quarantine_test.cc unit/store_tracking_test.cc unit/store_sealed_test.cc unit/store_key_test.cc)
target_link_libraries(unit-store PRIVATE postern_store PkgConfig::PQ PkgConfig::SQLITE GTest::gtest_main GTest::gmock)
if(NOT POSTERN_SANITIZE)
  target_compile_options(unit-store PRIVATE -O0 -U_FORTIFY_SOURCE)
endif()
add_executable(store-steps support/store_steps.cc)
target_link_libraries(store-steps PRIVATE postern_store)
add_test(NAME unit-store COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/support/postgres.py" $<TARGET_FILE:unit-store>)
set_tests_properties(unit-store PROPERTIES LABELS "ci;unit" TIMEOUT 300 ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
# Lets its own calls fail.
add_executable(unit-store-fault unit/store_fault_test.cc support/faulty_disk.cc)
target_link_libraries(unit-store-fault PRIVATE postern_store PkgConfig::PQ GTest::gtest_main GTest::gmock ${CMAKE_DL_LIBS})
add_test(NAME unit-store-fault
  COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/support/postgres.py" $<TARGET_FILE:unit-store-fault>)
set_tests_properties(unit-store-fault PROPERTIES LABELS "long;unit" TIMEOUT 3600 ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
add_test(NAME unit-store-fault-sqlite COMMAND unit-store-fault --gtest_filter=*/sqlite)
set_tests_properties(unit-store-fault-sqlite PROPERTIES LABELS "ci;unit" TIMEOUT 300)
