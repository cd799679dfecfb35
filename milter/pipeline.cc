// SPDX-License-Identifier: Apache-2.0
#include "milter/pipeline.h"
