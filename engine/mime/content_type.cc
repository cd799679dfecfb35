// SPDX-License-Identifier: Apache-2.0
#include "engine/mime/content_type.h"
