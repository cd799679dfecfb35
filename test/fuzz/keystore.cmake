# SPDX-License-Identifier: Apache-2.0
# fipsd's protocol from both sides.
postern_fuzz_target(keystore_request LINK postern_protocol)
postern_fuzz_target(keystore_reply LINK postern_protocol)
