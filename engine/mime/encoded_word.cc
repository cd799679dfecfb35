// SPDX-License-Identifier: Apache-2.0
#include "engine/mime/encoded_word.h"
