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
