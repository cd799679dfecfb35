# SPDX-License-Identifier: Apache-2.0
foreach(target catalogue password_line audit_log)
  postern_fuzz_target(${target} LINK postern_fipsd_vault)
endforeach()
