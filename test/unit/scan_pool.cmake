# SPDX-License-Identifier: Apache-2.0
add_executable(faulty-scan support/faulty_scan.cc)
target_link_libraries(faulty-scan PRIVATE postern_scan_process)
postern_unit_test(scan-pool SOURCES unit/scan_pool_test.cc unit/scan_escape_test.cc LINK postern_scan_client)
target_compile_definitions(unit-scan-pool PRIVATE POSTERN_FAULTY_SCAN="$<TARGET_FILE:faulty-scan>")
add_dependencies(unit-scan-pool faulty-scan)
