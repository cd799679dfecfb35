# SPDX-License-Identifier: Apache-2.0
foreach(target mime mime_readings header content_type encoded_word transfer_coding)
  postern_fuzz_target(${target} LINK postern_mime)
endforeach()
