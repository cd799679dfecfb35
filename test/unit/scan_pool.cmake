# SPDX-License-Identifier: Apache-2.0
add_executable(faulty-scan support/faulty_scan.cc)
target_link_libraries(faulty-scan PRIVATE postern_scan_process)
postern_unit_test(scan-pool SOURCES unit/scan_protocol_test.cc unit/scan_pool_test.cc unit/scan_escape_test.cc LINK postern_scan_client)
target_compile_definitions(unit-scan-pool PRIVATE POSTERN_FAULTY_SCAN="$<TARGET_FILE:faulty-scan>")
add_dependencies(unit-scan-pool faulty-scan)
if(NOT POSTERN_SANITIZE)
  # A sanitizer has the allocator, and none of its allocations fails.
  add_executable(failing-scan support/failing_scan.cc)
  target_link_libraries(failing-scan PRIVATE postern_scan_process postern_scan_worker)
  postern_unit_test(scan-memory SOURCES unit/scan_memory_test.cc LINK postern_scan_client)
  target_compile_definitions(unit-scan-memory PRIVATE POSTERN_FAULTY_SCAN="" POSTERN_FAILING_SCAN="$<TARGET_FILE:failing-scan>")
  add_dependencies(unit-scan-memory failing-scan)
endif()
# The real worker finds what its code finds without a sandbox.
add_test(NAME scan-sandbox COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/system/scan_sandbox_test.py" $<TARGET_FILE:scan-file>
  $<TARGET_FILE:postern-scan>)
set_tests_properties(scan-sandbox PROPERTIES LABELS "ci;system" TIMEOUT 300)
if(POSTERN_CORPUS)
  add_test(NAME scan-sandbox-corpus COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/system/scan_sandbox_test.py" $<TARGET_FILE:scan-file>
    $<TARGET_FILE:postern-scan> "${POSTERN_CORPUS}")
  set_tests_properties(scan-sandbox-corpus PROPERTIES LABELS "long;corpus" TIMEOUT 1800)
endif()
# Workers start and lock themselves up under the restrictions of posternd's unit.
find_program(SYSTEMD_ANALYZE systemd-analyze)
if(SYSTEMD_ANALYZE)
  add_test(NAME scan-confined COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/support/confine.py"
    "${PROJECT_SOURCE_DIR}/contrib/systemd/posternd.service" nobody daemon $<TARGET_FILE:unit-scan-pool>
    --gtest_filter=EscapeSuite.*:*AnswersJobs*:*SlowJob*:*abort:*hog)
  set_tests_properties(scan-confined PROPERTIES LABELS "ci;system" TIMEOUT 300 ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
endif()
# Run by hand for the cost of the way; with the long tests for what faults cost others.
add_executable(scanpool bench/scanpool.cc)
target_link_libraries(scanpool PRIVATE postern_scan_client)
add_test(NAME bench-scanpool COMMAND scanpool $<TARGET_FILE:faulty-scan> --soak 3000)
set_tests_properties(bench-scanpool PROPERTIES LABELS "long;bench" TIMEOUT 1800)
