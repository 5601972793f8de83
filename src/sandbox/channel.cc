// SPDX-License-Identifier: Apache-2.0
#include "sandbox/channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace redoubt::sandbox {
namespace {

constexpr std::size_t kMessageMax = 128 << 10;
constexpr std::size_t kFdsMax = 16;

void take_control_data(msghdr& header, Message& message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET) continue;
    if (part->cmsg_type == SCM_CREDENTIALS) {
      ucred credentials{};
      std::memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
      message.sender = credentials.pid;
    } else if (part->cmsg_type == SCM_RIGHTS) {
      std::vector<int> fds((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      std::memcpy(fds.data(), CMSG_DATA(part), fds.size() * sizeof(int));
      for (int fd : fds) message.fds.emplace_back(fd);
    }
  }
}

}  // namespace

Result<std::pair<Fd, Fd>> make_channel() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno(errno, "socketpair", "sandbox");
  std::pair<Fd, Fd> channel{Fd(ends[0]), Fd(ends[1])};
  const int on = 1;
  for (int end : ends) {
    if (setsockopt(end, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) return fail_errno(errno, "setsockopt", "sandbox");
  }
  return channel;
}

Status send_message(int channel, const Json& body, std::span<const int> fds) {
  const std::string text = dump_json(body);
  if (text.size() > kMessageMax || fds.size() > kFdsMax) {
    return fail(ErrorCode::limit_exceeded, "the command, its environment and descriptors are too much", "sandbox");
  }
  iovec part{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kFdsMax * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  while (sendmsg(channel, &header, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return fail_errno(errno, "send to the sandbox", "sandbox");
  }
  return {};
}

Result<Message> receive_message(int channel, int timeout_ms) {
  pollfd waiting{channel, POLLIN, 0};
  int ready;
  while ((ready = poll(&waiting, 1, timeout_ms)) < 0 && errno == EINTR) {
  }
  if (ready <= 0) return fail(ErrorCode::unavailable, "no answer from the sandbox in time", "sandbox");
  std::string text(kMessageMax, '\0');
  iovec part{text.data(), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kFdsMax * sizeof(int)) + CMSG_SPACE(sizeof(ucred))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t got;
  while ((got = recvmsg(channel, &header, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
  }
  Message message;
  if (got > 0) take_control_data(header, message);
  if (got <= 0 || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return fail(ErrorCode::unavailable, "the sandbox ended before it answered", "sandbox");
  }
  text.resize(static_cast<std::size_t>(got));
  message.body = TRY(parse_json(text, "a message of the sandbox"));
  return message;
}

Json error_message(const Error& error) {
  return {{"error", to_string(error.code)},
          {"code", static_cast<int>(error.code)},
          {"message", error.message},
          {"where", error.where},
          {"hint", error.hint}};
}

Status check_message(const Json& body) {
  if (!body.is_object() || !body.contains("error")) return {};
  const std::int64_t code = TRY(json_integer(body, "code", "sandbox"));
  if (code < 0 || code > static_cast<int>(ErrorCode::internal)) return fail(ErrorCode::internal, "unknown error", "sandbox");
  return fail(static_cast<ErrorCode>(code), TRY(json_string(body, "message", "sandbox")),
              TRY(json_string(body, "where", "sandbox")), TRY(json_string(body, "hint", "sandbox")));
}

}  // namespace redoubt::sandbox
