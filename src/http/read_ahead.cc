// SPDX-License-Identifier: Apache-2.0
#include "http/read_ahead.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "crypto/tls_read_ahead.h"

namespace redoubt::http::detail {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kWaitMsMax = 1000;

struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

// One handle, driven by libcurl's interface for who waits for sockets himself: it lets us say that a socket is readable while what is to
// be read lies in OpenSSL's memory.
class ReadingAhead {
 public:
  explicit ReadingAhead(CURL* handle) : handle_(handle), multi_(curl_multi_init()) {}
  ~ReadingAhead() {
    if (added_) curl_multi_remove_handle(multi_.get(), handle_);
  }
  ReadingAhead(const ReadingAhead&) = delete;
  ReadingAhead& operator=(const ReadingAhead&) = delete;

  CURLcode run() {
    if (!multi_) return CURLE_OUT_OF_MEMORY;
    curl_easy_setopt(handle_, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
    curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_.get(), CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi_.get(), CURLMOPT_TIMERDATA, this);
    added_ = curl_multi_add_handle(multi_.get(), handle_) == CURLM_OK;
    if (!added_) return CURLE_FAILED_INIT;
    act(CURL_SOCKET_TIMEOUT, 0);
    while (running_ > 0 && !failed_) turn();
    return failed_ ? CURLE_FAILED_INIT : outcome();
  }

 private:
  static CURLcode on_tls_context(CURL*, void* context, void*) {
    crypto::read_ahead(context);
    return CURLE_OK;
  }

  static int on_socket(CURL*, curl_socket_t socket, int what, void* user, void*) {
    auto& sockets = static_cast<ReadingAhead*>(user)->sockets_;
    std::erase_if(sockets, [&](const pollfd& known) { return known.fd == socket; });
    const int events = (what & CURL_POLL_IN ? POLLIN : 0) | (what & CURL_POLL_OUT ? POLLOUT : 0);
    if (what != CURL_POLL_REMOVE) sockets.push_back({socket, static_cast<short>(events), 0});
    return 0;
  }

  static int on_timer(CURLM*, long ms, void* user) {
    auto& due = static_cast<ReadingAhead*>(user)->due_;
    due.reset();
    if (ms >= 0) due = Steady::now() + milliseconds(ms);
    return 0;
  }

  void act(curl_socket_t socket, int events) { failed_ = failed_ || curl_multi_socket_action(multi_.get(), socket, events, &running_) != CURLM_OK; }

  // Nothing is waited for as long as records lie here; how long it may all take libcurl sees in each call.
  bool act_on_what_lies_here() {
    curl_tlssessioninfo* tls = nullptr;
    if (curl_easy_getinfo(handle_, CURLINFO_TLS_SSL_PTR, &tls) != CURLE_OK || tls == nullptr || tls->internals == nullptr || !crypto::may_hold_a_record(tls->internals)) return false;
    const auto reads = std::find_if(sockets_.begin(), sockets_.end(), [](const pollfd& socket) { return (socket.events & POLLIN) != 0; });
    if (reads == sockets_.end()) return false;
    act(reads->fd, CURL_CSELECT_IN);
    return true;
  }

  void turn() {
    if (act_on_what_lies_here()) return;
    auto waited = sockets_;
    const int count = ::poll(waited.data(), waited.size(), wait_ms());
    if (count < 0 && errno != EINTR) failed_ = true;
    if (count <= 0) return act(CURL_SOCKET_TIMEOUT, 0);
    for (const auto& socket : waited) {
      const int events = (socket.revents & (POLLIN | POLLHUP) ? CURL_CSELECT_IN : 0) | (socket.revents & POLLOUT ? CURL_CSELECT_OUT : 0) | (socket.revents & (POLLERR | POLLNVAL) ? CURL_CSELECT_ERR : 0);
      if (events != 0) act(socket.fd, events);
    }
    if (due_ && *due_ <= Steady::now()) act(CURL_SOCKET_TIMEOUT, 0);
  }

  int wait_ms() const {
    if (!due_) return kWaitMsMax;
    const auto left = std::chrono::ceil<milliseconds>(*due_ - Steady::now()).count();
    return static_cast<int>(std::clamp<long>(left, 0, kWaitMsMax));
  }

  CURLcode outcome() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg == CURLMSG_DONE) return message->data.result;
    }
    return CURLE_FAILED_INIT;
  }

  CURL* handle_;
  std::unique_ptr<CURLM, FreeMulti> multi_;
  std::vector<pollfd> sockets_;
  std::optional<Steady::time_point> due_;
  int running_ = 1;
  bool added_ = false, failed_ = false;
};

// Through a proxy that is spoken to over TLS there are two connections, one within the other, and only one of them can be asked.
bool has_tls_proxy() {
  for (const char* name : {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}) {
    const char* proxy = std::getenv(name);
    if (proxy != nullptr && std::string_view(proxy).starts_with("https")) return true;
  }
  return false;
}

bool is_over_openssl() {
  const auto* version = curl_version_info(CURLVERSION_NOW);
  return version->ssl_version != nullptr && std::string_view(version->ssl_version).starts_with("OpenSSL/3.");
}

}  // namespace

CURLcode perform_reading_ahead(CURL* handle) {
  return is_over_openssl() && !has_tls_proxy() ? ReadingAhead(handle).run() : curl_easy_perform(handle);
}

}  // namespace redoubt::http::detail
