# SPDX-License-Identifier: Apache-2.0
add_executable(scan-file support/scan_file.cc)
target_link_libraries(scan-file PRIVATE postern_scan_worker nlohmann_json::nlohmann_json)
postern_unit_test(scan-archive SOURCES unit/scan_archive_test.cc LINK postern_scan_worker)
postern_unit_test(scan-types SOURCES unit/scan_types_test.cc LINK postern_scan_worker)
postern_unit_test(scan-office SOURCES unit/scan_office_test.cc LINK postern_scan_worker)
if(POSTERN_CORPUS)
  add_test(NAME scan-corpus COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/system/scan_corpus_test.py" $<TARGET_FILE:scan-file>
    "${POSTERN_CORPUS}")
  set_tests_properties(scan-corpus PROPERTIES LABELS "ci;corpus" TIMEOUT 600)
endif()
