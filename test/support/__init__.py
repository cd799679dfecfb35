# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: mail servers, a sink, an SMTP client, the milter protocol from both sides, posternd itself."""
