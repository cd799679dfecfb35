// SPDX-License-Identifier: Apache-2.0
// qpdf, to be included by this header alone and before others of qpdf. Its JSON class has a vector of itself, whose
// destructor clang wants to see before the class is complete (C++23); nothing here uses it.
#pragma once
#ifdef __clang__
#define JSON_HH
class JSON;
#endif
#include <qpdf/QPDF.hh>
