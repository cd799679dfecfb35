# SPDX-License-Identifier: Apache-2.0
add_executable(scan-file support/scan_file.cc)
target_link_libraries(scan-file PRIVATE postern_scan_worker nlohmann_json::nlohmann_json)
add_test(NAME scan-bombs COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/system/scan_bombs_test.py" $<TARGET_FILE:scan-file>)
set_tests_properties(scan-bombs PROPERTIES LABELS "ci;system" TIMEOUT 300)
postern_unit_test(scan-archive SOURCES unit/scan_archive_test.cc unit/scan_packages_test.cc unit/scan_modes_test.cc
  LINK postern_scan_worker)
postern_unit_test(scan-carriers SOURCES unit/scan_carriers_test.cc unit/scan_images_test.cc LINK postern_scan_worker)
postern_unit_test(scan-text SOURCES unit/scan_text_test.cc unit/scan_charset_test.cc unit/scan_sheets_test.cc
  LINK postern_scan_worker)
add_test(NAME scan-charsets COMMAND unit-scan-text --gtest_filter=ScanCharset.AnyBytesInAnyCharsetBecomeText)
set_tests_properties(scan-charsets PROPERTIES LABELS long ENVIRONMENT POSTERN_BUFFERS=1000000 TIMEOUT 3600)
postern_unit_test(scan-pdf SOURCES unit/scan_pdf_test.cc LINK postern_scan_worker)
add_test(NAME scan-pdf-damaged COMMAND unit-scan-pdf --gtest_filter=ScanPdf.DamagedDocumentsHaveVerdicts)
set_tests_properties(scan-pdf-damaged PROPERTIES LABELS long ENVIRONMENT POSTERN_MUTATIONS=10000 TIMEOUT 1800)
postern_unit_test(scan-types SOURCES unit/scan_types_test.cc unit/scan_textual_test.cc unit/scan_called_test.cc LINK postern_scan_worker)
postern_unit_test(scan-office SOURCES unit/scan_office_test.cc unit/scan_crafted_test.cc unit/scan_macros_test.cc
  unit/scan_documents_test.cc unit/scan_visible_test.cc
  LINK postern_scan_worker)
if(POSTERN_CORPUS)
  add_test(NAME scan-corpus COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/system/scan_corpus_test.py" $<TARGET_FILE:scan-file>
    "${POSTERN_CORPUS}")
  set_tests_properties(scan-corpus PROPERTIES LABELS "ci;corpus" TIMEOUT 600 ENVIRONMENT POSTERN_CORPUS_STEP=12)
  add_test(NAME scan-corpus-whole COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/system/scan_corpus_test.py"
    $<TARGET_FILE:scan-file> "${POSTERN_CORPUS}")
  set_tests_properties(scan-corpus-whole PROPERTIES LABELS "long;corpus" TIMEOUT 1200)
endif()
