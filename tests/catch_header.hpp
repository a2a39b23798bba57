// SPDX-License-Identifier: MIT
/// What the test programs have precompiled.
#pragma once

#include <catch2/catch.hpp>
