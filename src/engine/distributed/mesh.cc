// SPDX-License-Identifier: Apache-2.0
#include "engine/distributed/mesh.h"

#include <algorithm>

#include "base/json.h"
#include "engine/distributed/sockets.h"

namespace redoubt::engine::distributed {
namespace {

constexpr int kVersion = 1;
constexpr std::size_t kGreetingBytesMax = 256 << 10;
constexpr auto kGreetingMax = std::chrono::seconds(20);  // for one caller to say who it is

struct Greeting {
  std::size_t rank = 0;
  std::uint16_t port = 0;  // where it listens; 0: nowhere
  std::string host = {};
};

Json to_json(const Place& place, std::uint16_t port) {
  return {{"version", kVersion}, {"rank", place.rank}, {"ranks", place.ranks}, {"port", port}, {"host", place.host}};
}

Result<Greeting> read_greeting(const std::string& text, const Place& own, const crypto::TlsConnection* tls) {
  const Json json = TRY(parse_json(text, "greeting"));
  if (TRY(json_integer(json, "version", "greeting")) != kVersion)
    return fail(ErrorCode::unsupported, "a rank of another version called");
  const auto rank = TRY(json_integer(json, "rank", "greeting")), ranks = TRY(json_integer(json, "ranks", "greeting"));
  const auto port = TRY(json_integer(json, "port", "greeting"));
  if (rank < 0 || rank >= ranks || ranks != static_cast<std::int64_t>(own.ranks) || port < 0 || port > 65535)
    return fail(ErrorCode::invalid_argument, "a rank of another job called: " + std::to_string(rank) + " of " + std::to_string(ranks));
  Greeting greeting{static_cast<std::size_t>(rank), static_cast<std::uint16_t>(port), TRY(json_string(json, "host", "greeting"))};
  if (tls && !tls->peer_is_named(certificate_name(greeting.rank)))
    return fail(ErrorCode::permission_denied, "the certificate does not speak for " + certificate_name(greeting.rank));
  return greeting;
}

class Meeting {
 public:
  Meeting(const Place& place, const MeshOptions& options)
      : place_(place), options_(options), deadline_(std::chrono::steady_clock::now() + options.join_max) {
    peers_.resize(place.ranks);
    set_name(place.rank, place.host);
  }

  Result<Group> run() {
    if (!options_.tls && !is_loopback(place_.master_host))
      return fail(ErrorCode::invalid_argument, "ranks on several machines need certificates", place_.master_host,
                  "give the channel 'certificates' (docs/distributed.md)");
    listener_ = TRY(listen_on(place_.rank == 0 ? place_.master_port : 0,
                              options_.tls ? Reach::everywhere : Reach::loopback_only));
    TRY(place_.rank == 0 ? lead() : follow());
    return Group(place_.rank, std::move(peers_), options_.answer_max);
  }

 private:
  struct Address {
    std::string host;
    std::uint16_t port = 0;
  };

  void set_name(std::size_t rank, const std::string& host) {
    peers_[rank].name = "rank " + std::to_string(rank) + (host.empty() ? "" : " (" + host + ")");
  }

  // Rank 0: everybody calls, then everybody is told of everybody.
  Status lead() {
    if (auto came = accept_all(1); !came) {
      tell_all({{"error", came.error().message}});
      return came;
    }
    Json table = Json::array();
    for (std::size_t i = 0; i < place_.ranks; ++i)
      table.push_back({{"host", addresses_[i].host}, {"port", addresses_[i].port}});
    tell_all({{"ranks", std::move(table)}});
    return {};
  }

  // One that is gone by now is found out by the first exchange.
  void tell_all(const Json& message) {
    const Deadline limit = std::chrono::steady_clock::now() + kGreetingMax;
    for (auto& peer : peers_)
      if (peer.link) (void)peer.link->send_text(dump_json(message), limit);
  }

  Status follow() {
    TRY(call_rank(0, {place_.master_host, place_.master_port}));
    // Rank 0 gives up when the deadline has come, and says so a moment later.
    const auto told = peers_[0].link->receive_text(kGreetingBytesMax, deadline_ + kGreetingMax);
    if (!told) return turned_away(told.error().message, "rank 0 at " + place_.master_host);
    const Json message = TRY(parse_json(*told, "table of ranks"));
    if (message.contains("error")) return fail(ErrorCode::unavailable, json_or(message, "error", ""), place_.master_host);
    const Json table = TRY(json_array(message, "ranks", "table of ranks"));
    if (table.size() != place_.ranks) return fail(ErrorCode::invalid_argument, "not a table of the ranks");
    for (std::size_t i = 1; i < place_.rank; ++i)
      TRY(call_rank(i, {TRY(json_string(table[i], "host", "table of ranks")),
                        static_cast<std::uint16_t>(TRY(json_integer(table[i], "port", "table of ranks")))}));
    return accept_all(place_.rank + 1);
  }

  static tl::unexpected<Error> turned_away(const std::string& why, const std::string& where) {
    return fail(ErrorCode::permission_denied, "this rank was turned away: " + why, where,
                "all ranks need certificates of the same CA, in date, and the same WORLD_SIZE");
  }

  // Calls a lower rank. It proves who it is by its certificate; the greeting says who calls.
  Status call_rank(std::size_t rank, const Address& address) {
    Fd socket = TRY(call(address.host, address.port, deadline_));
    auto tls = options_.tls ? TRY(options_.tls->connect(socket.get())) : nullptr;
    auto link = std::make_unique<Link>(std::move(socket), std::move(tls));
    const std::string where = "rank " + std::to_string(rank) + " at " + address.host + ":" + std::to_string(address.port);
    if (auto shaken = link->handshake(deadline_); !shaken) return fail(ErrorCode::permission_denied, shaken.error().message, where);
    if (link->tls() && !link->tls()->peer_is_named(certificate_name(rank)))
      return fail(ErrorCode::permission_denied, "its certificate does not speak for " + certificate_name(rank), where);
    // In TLS 1.3 the other end judges this one's certificate only now, and may have hung up.
    if (auto sent = link->send_text(dump_json(to_json(place_, listener_.port)), deadline_); !sent)
      return turned_away(sent.error().message, where);
    set_name(rank, address.host);
    peers_[rank].link = std::move(link);
    return {};
  }

  // Waits until all ranks from `first` on have called. A caller that isn't one of them is turned away, and the wait goes on.
  Status accept_all(std::size_t first) {
    std::size_t missing = place_.ranks - first;
    std::string turned_away;
    while (missing > 0) {
      auto caller = accept_from(listener_, deadline_);
      if (!caller) return nobody(first, caller.error().message, turned_away);
      auto taken = take(*caller, first);
      if (taken)
        --missing;
      else
        turned_away = caller->address + ": " + taken.error().message;
    }
    listener_.socket.reset();
    return {};
  }

  Status take(Caller& caller, std::size_t first) {
    auto tls = options_.tls ? TRY(options_.tls->accept(caller.socket.get())) : nullptr;
    auto link = std::make_unique<Link>(std::move(caller.socket), std::move(tls));
    const Deadline limit = std::min(deadline_, std::chrono::steady_clock::now() + kGreetingMax);
    TRY(link->handshake(limit));
    const auto greeting = TRY(read_greeting(TRY(link->receive_text(kGreetingBytesMax, limit)), place_, link->tls()));
    if (greeting.rank < first || peers_[greeting.rank].link)
      return fail(ErrorCode::invalid_argument, "rank " + std::to_string(greeting.rank) + " called a second time");
    set_name(greeting.rank, greeting.host.empty() ? caller.address : greeting.host);
    addresses_[greeting.rank] = {caller.address, greeting.port};
    peers_[greeting.rank].link = std::move(link);
    return {};
  }

  Status nobody(std::size_t first, const std::string& why, const std::string& turned_away) const {
    std::string missing;
    for (std::size_t i = first; i < place_.ranks; ++i)
      if (!peers_[i].link) missing += (missing.empty() ? "rank " : ", rank ") + std::to_string(i);
    return fail(ErrorCode::unavailable, missing + " did not come: " + why, "port " + std::to_string(listener_.port),
                turned_away.empty() ? "" : "a caller was turned away: " + turned_away);
  }

  const Place& place_;
  const MeshOptions& options_;
  Deadline deadline_;
  Listener listener_;
  std::vector<Peer> peers_;
  std::vector<Address> addresses_ = std::vector<Address>(place_.ranks);
};

}  // namespace

std::string certificate_name(std::size_t rank) { return "rank-" + std::to_string(rank) + ".job.internal"; }

Result<Group> join_mesh(const Place& place, const MeshOptions& options) { return Meeting(place, options).run(); }

}  // namespace redoubt::engine::distributed
