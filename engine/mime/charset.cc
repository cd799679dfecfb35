// SPDX-License-Identifier: Apache-2.0
#include "engine/mime/charset.h"
