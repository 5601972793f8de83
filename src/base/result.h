// SPDX-License-Identifier: Apache-2.0
//
// Result<T>: how every fallible function of Redoubt answers. Exceptions stop at the border of the library that throws.
#pragma once

#include <string>
#include <utility>

// Declared before the header is read so that g++ 12 warns when a result is dropped.
namespace tl {
template <class T, class E>
class [[nodiscard]] expected;
}
#include <tl/expected.hpp>

namespace redoubt {

// What the caller can do about a failure; the command line maps each code to an exit status (docs: contract of the CLI).
enum class ErrorCode {
  invalid_argument,   // the caller's input or configuration is wrong: exit 2
  not_found,          // the named thing is not there: exit 1
  already_exists,     // the named thing is there and may not be replaced: exit 1
  permission_denied,  // unknown identity, missing role, wrong passphrase or token: exit 5
  tampered,           // a digest, tag or signature does not verify; never turned into another code: exit 4
  gate_refused,       // thresholds, scan, data check or policy said no: exit 3
  limit_exceeded,     // a bound of a parser, queue or resource was reached: exit 1
  unavailable,        // an outside system failed; the only code worth a retry: exit 1
  unsupported,        // understood, but not something this build or machine can do: exit 1
  waiting,            // a person has to act first: exit 6
  undecided,          // not enough data for the question asked: exit 7
  internal,           // our own bug: exit 1
};

// The stable name of a code, as JSON answers and logs carry it ("invalid_argument").
const char* to_string(ErrorCode code);

// A failure. `message` says what happened, `where` names the file, field, line or object, `hint` says how to go on.
// No member may hold a secret or text out of training data.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;
  std::string where = {};
  std::string hint = {};
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

// `return fail(ErrorCode::not_found, "no such model", name, "list the models with 'redoubt registry list'");`
inline tl::unexpected<Error> fail(ErrorCode code, std::string message, std::string where = {}, std::string hint = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(where), std::move(hint)});
}
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

// The failure that errno describes: not_found, already_exists, permission_denied, limit_exceeded (no space) or unavailable.
tl::unexpected<Error> fail_errno(int error_number, std::string doing, std::string where);

namespace detail {
template <class T>
T take(Result<T>&& result) {
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}
}  // namespace detail

}  // namespace redoubt

// The value of a Result, or a return of its error from the enclosing function: `auto bytes = TRY(read_file(path));`
// Let nothing that owns memory stand unfinished around it: what the enclosing expression has made by then, such as an earlier
// member in braces, an argument by value or the memory of a `new`, is not destroyed on the way out.
#define TRY(expression) REDOUBT_TRY_NAMED(expression, __COUNTER__)
#define REDOUBT_TRY_NAMED(expression, number) REDOUBT_TRY_NUMBERED(expression, number)
#define REDOUBT_TRY_NUMBERED(expression, number) REDOUBT_TRY_WITH(expression, try_result_##number)  // a TRY may stand in a TRY
#define REDOUBT_TRY_WITH(expression, result)                          \
  ({                                                                  \
    auto result = (expression);                                       \
    if (!result) [[unlikely]]                                         \
      return ::redoubt::fail(std::move(result.error()));              \
    ::redoubt::detail::take(std::move(result));                       \
  })
