# SPDX-License-Identifier: Apache-2.0
foreach(target clamd_reply icap_reply rspamd_reply spamd_reply)
  postern_fuzz_target(${target} LINK postern_inspect)
endforeach()
