// SPDX-License-Identifier: Apache-2.0
#include "crypto/socket_bio.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstdint>

namespace redoubt::crypto {
namespace {

int socket_of(BIO* bio) { return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio))); }

// `moved` is what the system answered.
int socket_outcome(BIO* bio, ssize_t moved, std::size_t* bytes, int retry) {
  BIO_clear_retry_flags(bio);
  *bytes = moved > 0 ? static_cast<std::size_t>(moved) : 0;
  if (moved < 0 && BIO_sock_non_fatal_error(errno) == 1) BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
  return moved > 0 ? 1 : 0;
}

int receive(BIO* bio, char* into, std::size_t room, std::size_t* bytes) {
  const auto got = ::recv(socket_of(bio), into, room, 0);
  const int outcome = socket_outcome(bio, got, bytes, BIO_FLAGS_READ);
  if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return outcome;
}

int send_on(BIO* bio, const char* from, std::size_t count, std::size_t* bytes) {
  return socket_outcome(bio, ::send(socket_of(bio), from, count, MSG_NOSIGNAL), bytes, BIO_FLAGS_WRITE);
}

long control_socket(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  return command == BIO_CTRL_EOF && BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
}

const BIO_METHOD* socket_method() {
  static const BIO_METHOD* made = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "redoubt's socket");
    if (method == nullptr || BIO_meth_set_read_ex(method, receive) != 1 || BIO_meth_set_write_ex(method, send_on) != 1 || BIO_meth_set_ctrl(method, control_socket) != 1) return static_cast<BIO_METHOD*>(nullptr);
    return method;
  }();
  return made;
}

}  // namespace

BIO* new_socket_bio(int socket) {
  const auto* method = socket_method();
  BIO* bio = method != nullptr ? BIO_new(method) : nullptr;
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(socket)));
  BIO_set_init(bio, 1);
  return bio;
}

}  // namespace redoubt::crypto
