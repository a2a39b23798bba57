// SPDX-License-Identifier: MIT
// The target needs one source to compile the header for.
#include "catch_header.hpp"
