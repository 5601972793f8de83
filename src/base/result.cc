// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace redoubt {

const char* to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::already_exists: return "already_exists";
    case ErrorCode::permission_denied: return "permission_denied";
    case ErrorCode::tampered: return "tampered";
    case ErrorCode::gate_refused: return "gate_refused";
    case ErrorCode::limit_exceeded: return "limit_exceeded";
    case ErrorCode::unavailable: return "unavailable";
    case ErrorCode::unsupported: return "unsupported";
    case ErrorCode::waiting: return "waiting";
    case ErrorCode::undecided: return "undecided";
    case ErrorCode::internal: return "internal";
  }
  return "internal";
}

tl::unexpected<Error> fail_errno(int error_number, std::string doing, std::string where) {
  ErrorCode code = ErrorCode::unavailable;
  std::string hint;
  switch (error_number) {
    case ENOENT:
    case ENOTDIR: code = ErrorCode::not_found; break;
    case EEXIST: code = ErrorCode::already_exists; break;
    case EACCES:
    case EPERM: code = ErrorCode::permission_denied; break;
    case ENOSPC:
    case EDQUOT:
      code = ErrorCode::limit_exceeded;
      hint = "free some space on that file system and run the command again; nothing was lost";
      break;
    case EMFILE:
    case ENFILE:
    case ENOMEM: code = ErrorCode::limit_exceeded; break;
    default: break;
  }
  return fail(code, "cannot " + std::move(doing) + ": " + std::strerror(error_number), std::move(where), std::move(hint));
}

}  // namespace redoubt
