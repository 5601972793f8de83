// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <sys/statvfs.h>

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

namespace {

// " (4096 bytes are free there)" for a path, or for the nearest folder above it that is there.
std::string free_bytes_of(std::string path) {
  struct statvfs info {};
  while (!path.empty() && ::statvfs(path.c_str(), &info) != 0) {
    const auto slash = path.rfind('/');
    path = slash == path.npos ? "." : path.substr(0, slash);
    if (path == "." && ::statvfs(path.c_str(), &info) != 0) return "";
  }
  if (path.empty()) return "";
  return " (" + std::to_string(static_cast<unsigned long long>(info.f_bavail) * info.f_frsize) + " bytes are free there)";
}

}  // namespace

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
      hint = "free some space on that file system" + free_bytes_of(where) + " and run the command again; nothing was lost";
      break;
    case EMFILE:
    case ENFILE:
    case ENOMEM: code = ErrorCode::limit_exceeded; break;
    default: break;
  }
  return fail(code, "cannot " + std::move(doing) + ": " + std::strerror(error_number), std::move(where), std::move(hint));
}

}  // namespace redoubt
