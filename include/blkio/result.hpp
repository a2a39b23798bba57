// SPDX-License-Identifier: MIT
/// The world's errors are values: an errno for the caller, a sentence for the person.
/// Our own errors are assertions and stop the program; back-pressure is neither.
#pragma once

#include <boost/outcome/result.hpp>
#include <boost/outcome/try.hpp>
#include <string>
#include <system_error>
#include <utility>

namespace blkio {

struct Error {
  int number = 0;       ///< errno; what a system call on our files answers
  std::string context;  ///< "what: why", names the object; may be empty where the errno says all

  std::string to_string() const {
    const std::string reason = std::generic_category().message(number);
    if (context.empty()) return reason;
    return number == 0 ? context : context + ": " + reason;
  }
};

template <class T>
using Result = boost::outcome_v2::basic_result<T, Error, boost::outcome_v2::policy::terminate>;

inline auto failure(int number, std::string context = {}) {
  return boost::outcome_v2::failure(Error{number, std::move(context)});
}
inline auto success() {
  return boost::outcome_v2::success();
}

}  // namespace blkio

/// BLKIO_TRY(expression): returns its error from the function, if it is one.
/// BLKIO_TRY(declaration, expression): the same, else `declaration = value`.
#define BLKIO_TRY(...) BLKIO_TRY_PICK(__VA_ARGS__, BLKIO_TRY_DECLARE, BLKIO_TRY_CHECK)(__VA_ARGS__)
#define BLKIO_TRY_PICK(first, second, macro, ...) macro
#define BLKIO_TRY_JOIN2(a, b) a##b
#define BLKIO_TRY_JOIN(a, b) BLKIO_TRY_JOIN2(a, b)
#define BLKIO_TRY_CHECK(expression)                                      \
  if (auto blkio_tried = (expression); !blkio_tried) {                   \
    return ::boost::outcome_v2::failure(std::move(blkio_tried.error())); \
  }
#define BLKIO_TRY_DECLARE(declaration, expression) \
  BLKIO_TRY_DECLARE_AS(BLKIO_TRY_JOIN(blkio_tried_, __COUNTER__), declaration, expression)
#define BLKIO_TRY_DECLARE_AS(name, declaration, expression)                \
  auto name = (expression);                                                \
  if (!name) return ::boost::outcome_v2::failure(std::move(name.error())); \
  declaration = std::move(name.value())
