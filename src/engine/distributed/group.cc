// SPDX-License-Identifier: Apache-2.0
#include "engine/distributed/group.h"

#include <poll.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace redoubt::engine::distributed {
namespace {

constexpr std::size_t kTextBytesMax = 4ull << 30;  // the scores of a hundred million examples
constexpr auto kFarewellMax = std::chrono::seconds(3);
constexpr const char* kHint = "the job ends on all ranks; start it again and it goes on from its last checkpoint";

template <class T>
MutableByteView bytes_of(std::span<T> values) {
  return {reinterpret_cast<std::uint8_t*>(values.data()), values.size_bytes()};
}

// Values [begin, end) that a rank sums for all.
struct Share {
  std::size_t begin, end;
};
Share share_of(std::size_t values, std::size_t rank, std::size_t ranks) {
  const std::size_t each = (values + ranks - 1) / ranks;
  return {std::min(values, rank * each), std::min(values, (rank + 1) * each)};
}

}  // namespace

Group::Group(std::size_t rank, std::vector<Peer> peers, std::chrono::milliseconds answer_max)
    : rank_(rank), peers_(std::move(peers)), answer_max_(answer_max) {
  CHECK(rank_ < ranks());
}

Status Group::wait(const std::vector<Transfer>& transfers, const std::vector<std::size_t>& to) const {
  std::vector<pollfd> waiting;
  const auto now = std::chrono::steady_clock::now();
  Deadline first = now + answer_max_;
  for (std::size_t i = 0; i < transfers.size(); ++i) {
    if (transfers[i].is_done()) continue;
    const Deadline limit = transfers[i].last_progress() + answer_max_;
    const auto& peer = peers_[to[i]];
    if (limit <= now)
      return fail(ErrorCode::unavailable,
                  peer.name + " has not answered for " + std::to_string(answer_max_.count() / 1000) + " s", "", kHint);
    first = std::min(first, limit);
    waiting.push_back({peer.link->fd(), transfers[i].poll_events(), 0});
  }
  if (::poll(waiting.data(), waiting.size(), milliseconds_to(first)) < 0 && errno != EINTR)
    return fail_errno(errno, "waiting for the other ranks", "poll");
  return {};
}

Status Group::run(std::vector<Transfer>& transfers, const std::vector<std::size_t>& to) {
  const auto all_done = [&] {
    return std::all_of(transfers.begin(), transfers.end(), [](const Transfer& transfer) { return transfer.is_done(); });
  };
  while (true) {
    for (std::size_t i = 0; i < transfers.size(); ++i) {
      if (transfers[i].is_done()) continue;
      auto status = transfers[i].advance();
      if (status) continue;
      const auto said = transfers[i].last_words();
      return fail(ErrorCode::unavailable, said && !said->empty() ? *said : peers_[to[i]].name + " " + status.error().message,
                  "", kHint);
    }
    if (all_done()) return {};
    TRY(wait(transfers, to));
  }
}

Status Group::exchange(const std::vector<Lane>& lanes) {
  std::vector<Transfer> transfers;
  std::vector<std::size_t> to;
  for (std::size_t peer = 0; peer < peers_.size(); ++peer) {
    if (peer == rank_) continue;
    transfers.emplace_back(*peers_[peer].link, sequence_, lanes[peer].out, lanes[peer].in);
    to.push_back(peer);
  }
  ++sequence_;
  auto status = run(transfers, to);
  if (status) return {};
  reason_ = status.error().message;
  const Deadline limit = std::chrono::steady_clock::now() + kFarewellMax;
  for (std::size_t i = 0; i < transfers.size(); ++i) {
    transfers[i].finish_sending(limit);
    peers_[to[i]].takes_frames = transfers[i].is_between_frames();
  }
  return status;
}

Result<std::vector<std::string>> Group::gather(std::string_view mine) {
  if (ranks() == 1) return std::vector<std::string>{std::string(mine)};
  if (mine.size() > kTextBytesMax) return fail(ErrorCode::limit_exceeded, "a rank's part is too long");
  std::vector<std::uint64_t> sizes(ranks(), mine.size());
  std::vector<Lane> lanes(ranks());
  const std::uint64_t own_size = mine.size();
  for (std::size_t i = 0; i < ranks(); ++i)
    lanes[i] = {{reinterpret_cast<const std::uint8_t*>(&own_size), sizeof own_size}, bytes_of(std::span(&sizes[i], 1))};
  TRY(exchange(lanes));
  std::vector<std::string> texts(ranks(), std::string(mine));
  for (std::size_t i = 0; i < ranks(); ++i) {
    if (sizes[i] > kTextBytesMax) return fail(ErrorCode::limit_exceeded, peers_[i].name + " sends too much");
    texts[i].resize(sizes[i]);
    lanes[i] = {view_of(mine), bytes_of(std::span<char>(texts[i]))};
  }
  TRY(exchange(lanes));
  return texts;
}

Status Group::sum(std::span<float> values) {
  if (ranks() == 1) return {};
  const auto own = share_of(values.size(), rank_, ranks());
  const std::size_t size = own.end - own.begin;
  std::vector<std::vector<float>> parts(ranks(), std::vector<float>(size));
  std::vector<Lane> lanes(ranks());
  for (std::size_t i = 0; i < ranks(); ++i) {
    const auto share = share_of(values.size(), i, ranks());
    lanes[i] = {bytes_of(values.subspan(share.begin, share.end - share.begin)), bytes_of(std::span<float>(parts[i]))};
  }
  TRY(exchange(lanes));
  const auto summed = values.subspan(own.begin, size);
  std::copy(summed.begin(), summed.end(), parts[rank_].begin());
  sum_halves(0, ranks(), [&](std::size_t into, std::size_t from) {
    for (std::size_t i = 0; i < size; ++i) parts[into][i] += parts[from][i];
  });
  std::copy(parts[0].begin(), parts[0].end(), summed.begin());
  for (std::size_t i = 0; i < ranks(); ++i) {
    const auto share = share_of(values.size(), i, ranks());
    lanes[i] = {bytes_of(summed), bytes_of(values.subspan(share.begin, share.end - share.begin))};
  }
  return exchange(lanes);
}

Status Group::take_from_leader(MutableByteView bytes) {
  std::vector<Lane> lanes(ranks());
  for (std::size_t i = 0; i < ranks(); ++i) {
    if (leads()) lanes[i].out = bytes;
    if (i == 0) lanes[i].in = bytes;
  }
  return exchange(lanes);
}

Status Group::wait_for_all() { return exchange(std::vector<Lane>(ranks())); }

void Group::leave(const Error& error) {
  if (ranks() == 1) return;
  std::string reason = reason_;
  if (reason.empty()) {
    reason = peers_[rank_].name + ": " + error.message;
    if (!error.where.empty()) reason += " (" + error.where + ")";
  }
  reason.resize(std::min(reason.size(), kReasonBytesMax));
  auto frame = write_header({FrameKind::farewell, sequence_, reason.size()});
  std::string text(reinterpret_cast<const char*>(frame.data()), frame.size());
  text += reason;
  const Deadline deadline = std::chrono::steady_clock::now() + kFarewellMax;
  for (auto& peer : peers_)
    if (peer.link && peer.takes_frames) (void)peer.link->send(view_of(text), deadline);
  for (auto& peer : peers_)
    if (peer.link) peer.link->close_sending();
  // A rank in the middle of an exchange has to find an open socket, or it takes this one for dead before it reads why.
  for (auto& peer : peers_)
    if (peer.link) peer.link->drain(deadline);
}

}  // namespace redoubt::engine::distributed
