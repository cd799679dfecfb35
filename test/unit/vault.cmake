# SPDX-License-Identifier: Apache-2.0
# What fipsd keeps on disk: state, officer password, catalogue, audit log. Some tests let this program's own file system
# calls fail.
postern_unit_test(vault-state
  SOURCES unit/vault_encoding_test.cc unit/vault_state_test.cc unit/vault_kek_test.cc unit/vault_officer_test.cc
    unit/vault_catalogue_test.cc unit/vault_fault_test.cc support/faulty_disk.cc
  LINK postern_fipsd_vault postern_x509 PkgConfig::OPENSSL ${CMAKE_DL_LIBS})
postern_unit_test(vault-audit
  SOURCES unit/vault_audit_test.cc unit/vault_audit_fault_test.cc unit/vault_audit_verify_test.cc support/faulty_disk.cc
  LINK postern_fipsd_vault ${CMAKE_DL_LIBS})
add_test(NAME unit-vault-audit-long COMMAND unit-vault-audit --gtest_filter=VaultAuditChain.*)
set_tests_properties(unit-vault-audit-long PROPERTIES LABELS "long;unit" TIMEOUT 1800 ENVIRONMENT "POSTERN_AUDIT_RECORDS=1000000")
