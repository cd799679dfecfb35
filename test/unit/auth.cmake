# SPDX-License-Identifier: Apache-2.0
add_library(postern_soft_keys STATIC support/soft_keys.cc)
target_link_libraries(postern_soft_keys PUBLIC postern_flags postern_crypto postern_base PkgConfig::OPENSSL)
postern_unit_test(auth SOURCES unit/auth_dkim_canon_test.cc unit/auth_dkim_sign_test.cc unit/auth_dkim_key_test.cc
  LINK postern_auth postern_auth_dns postern_soft_keys)
postern_unit_test(stages SOURCES unit/stages_sign_test.cc unit/stages_recode_test.cc LINK postern_stages postern_soft_keys)

# What we sign is judged by verifiers that other people wrote.
add_executable(dkim-sign-files support/dkim_sign_files.cc)
target_link_libraries(dkim-sign-files PRIVATE postern_auth postern_soft_keys)
add_test(NAME unit-dkim-crosscheck
  COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/unit/dkim_crosscheck.py" $<TARGET_FILE:dkim-sign-files> $<TARGET_FILE:dkim-verify>)
set_tests_properties(unit-dkim-crosscheck PROPERTIES LABELS "ci;unit" TIMEOUT 300)

add_executable(fake-fipsd support/fake_fipsd.cc)
target_link_libraries(fake-fipsd PRIVATE postern_fipsd_server postern_soft_keys)
