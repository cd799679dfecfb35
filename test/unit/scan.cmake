# SPDX-License-Identifier: Apache-2.0
add_executable(scan-file support/scan_file.cc)
target_link_libraries(scan-file PRIVATE postern_scan_worker nlohmann_json::nlohmann_json)
