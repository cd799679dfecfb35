# SPDX-License-Identifier: Apache-2.0
postern_unit_test(x509
  SOURCES unit/x509_names_test.cc unit/x509_trust_test.cc unit/x509_request_test.cc unit/x509_mutation_test.cc
  LINK postern_x509)
add_test(NAME unit-x509-mutations COMMAND unit-x509 --gtest_filter=Mutations.*)
set_tests_properties(unit-x509-mutations PROPERTIES LABELS "long;unit" TIMEOUT 7200 ENVIRONMENT "POSTERN_MUTATIONS=1000000;POSTERN_SEED=1")
