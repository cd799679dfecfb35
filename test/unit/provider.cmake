# SPDX-License-Identifier: Apache-2.0
postern_unit_test(provider
  SOURCES unit/provider_reference_test.cc unit/provider_sign_test.cc unit/provider_message_test.cc
  LINK postern_provider postern_key_reference postern_soft_keys postern_x509)
