// SPDX-License-Identifier: Apache-2.0
#include "engine/distributed/join.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "engine/distributed/mesh.h"

namespace redoubt::engine::distributed {
namespace {

constexpr std::uint64_t kPemBytesMax = 1 << 20;
constexpr std::int64_t kLocalRanksMax = 64;
constexpr std::chrono::minutes kJoinLeast{2};  // machines of one job do not start in the same second

// The rank's own file, else the one that all share.
std::filesystem::path file_of(const std::filesystem::path& folder, std::size_t rank, const char* ending) {
  auto own = folder / ("rank-" + std::to_string(rank) + ending);
  return is_there(own) ? own : folder / (std::string("rank") + ending);
}

Result<std::shared_ptr<const crypto::TlsPeerContext>> read_certificates(const std::filesystem::path& folder, std::size_t rank) {
  if (!is_folder(folder))
    return fail(ErrorCode::invalid_argument, "a job of several ranks needs certificates, so that its traffic is encrypted",
                folder.string(), "give the channel 'certificates' with ca.pem, rank.pem and rank-key.pem (docs/distributed.md)");
  crypto::TlsPeerOptions options;
  options.roots_pem = TRY(read_text_file(folder / "ca.pem", kPemBytesMax));
  options.certificate_pem = TRY(read_text_file(file_of(folder, rank, ".pem"), kPemBytesMax));
  options.private_key_pem = Secret(TRY(read_file(file_of(folder, rank, "-key.pem"), kPemBytesMax)));
  auto context = crypto::TlsPeerContext::create(options);
  if (!context) return fail(ErrorCode::invalid_argument, context.error().message, folder.string());
  return std::move(*context);
}

Result<Membership> fork_ranks(const JoinOptions& options) {
  auto peers = TRY(connect_pairs(options.local_ranks));
  const auto parent = ::getpid();
  std::size_t rank = 0;
  for (std::size_t next = 1; next < options.local_ranks && rank == 0; ++next) {
    const pid_t child = ::fork();
    if (child < 0) return fail_errno(errno, "starting a rank", "rank " + std::to_string(next));
    if (child == 0) rank = next;
  }
  if (rank > 0) {
    // A rank that hangs ends with the process that started it.
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    // The job's events are the leader's.
    if (const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC); nowhere >= 0) {
      ::dup2(nowhere, STDOUT_FILENO);
      ::close(nowhere);
    }
  }
  return Membership{Group(rank, std::move(peers[rank]), options.timeout), rank > 0};
}

}  // namespace

const std::vector<std::string>& join_option_names() {
  static const std::vector<std::string> names = {"ranks", "distributed_transport", "distributed_timeout_s"};
  return names;
}

Result<JoinOptions> read_join_options(const job::Hyperparameters& values) {
  JoinOptions options;
  options.local_ranks = static_cast<std::size_t>(TRY(values.integer("ranks", 1, 1, kLocalRanksMax)));
  options.timeout = std::chrono::seconds(TRY(values.integer("distributed_timeout_s", 600, 1, 86400)));
  const auto transport = TRY(values.choice("distributed_transport", "tls", {"tls", "loopback"}));
  options.transport = transport == "tls" ? Transport::tls : Transport::loopback;
  return options;
}

Result<std::vector<std::vector<Peer>>> connect_pairs(std::size_t ranks) {
  std::vector<std::vector<Peer>> all(ranks);
  for (auto& peers : all) {
    peers.resize(ranks);
    for (std::size_t i = 0; i < ranks; ++i) peers[i].name = "rank " + std::to_string(i);
  }
  for (std::size_t a = 0; a < ranks; ++a)
    for (std::size_t b = a + 1; b < ranks; ++b) {
      int ends[2];
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return fail_errno(errno, "making a pair of sockets", "ranks");
      Fd one(ends[0]), two(ends[1]);
      TRY(set_non_blocking(one.get()));
      TRY(set_non_blocking(two.get()));
      all[a][b].link = std::make_unique<Link>(std::move(one), nullptr);
      all[b][a].link = std::make_unique<Link>(std::move(two), nullptr);
    }
  return all;
}

Result<Membership> join(const job::Paths& paths, const JoinOptions& options, const Variable& variable) {
  const auto place = TRY(read_place(variable, paths.root / "input/config/resourceconfig.json"));
  (void)::signal(SIGPIPE, SIG_IGN);  // a rank that went away is an error of the call, not of the process
  if (place.ranks == 1) {
    if (options.local_ranks == 1) return Membership{};
    return fork_ranks(options);
  }
  if (options.local_ranks > 1)
    return fail(ErrorCode::invalid_argument, "'ranks' starts processes on one machine, but the job already has several",
                "ranks", "leave 'ranks' out, and start as many processes as you want with RANK and WORLD_SIZE");
  MeshOptions mesh;
  mesh.answer_max = options.timeout;
  mesh.join_max = std::max<std::chrono::milliseconds>(options.timeout, kJoinLeast);
  if (options.transport == Transport::tls) mesh.tls = TRY(read_certificates(paths.channel("certificates"), place.rank));
  return Membership{TRY(join_mesh(place, mesh)), false};
}

}  // namespace redoubt::engine::distributed
