#include "core/ranks/ranks.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <exception>

#include "core/ranks/digest.h"
#include "core/ranks/launch.h"
#include "core/ranks/socket.h"

namespace ft::ranks {

namespace {

// Ranks of different builds would read each other's messages wrongly; change it with the messages.
constexpr uint32_t kProtocol = 2;
constexpr std::chrono::milliseconds kTellWithin{1000};

struct Card {
  uint32_t protocol = kProtocol;
  int32_t pid = 0;
  uint64_t cores = 0;  // a hash of those that it may run on
  std::array<char, 256> host{};
};

uint64_t hash_of_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  sched_getaffinity(0, sizeof(cores), &cores);
  Digest digest;
  digest.add(&cores, sizeof(cores));
  return digest.value();
}

}  // namespace

Ranks::~Ranks() = default;

Result<std::unique_ptr<Ranks>> Ranks::start(const MakeComm& make_comm, WatchOptions watch) {
  auto ranks = std::make_unique<Ranks>();
  auto comm = make_comm(ranks->patience_);
  if (!comm) return tl::make_unexpected(comm.error());
  const int size = (*comm)->size();
  if (!is_rank_count(size))
    return fail(ErrorCode::kInvalidArgument, "{} ranks were started: a model is shared by 1, 2, 4 or 8",
                size);
  if (size == 1) return ranks;
  ranks->comm_ = std::move(*comm);
  ranks->channel_ = std::make_unique<Channel>(*ranks->comm_);
  Card own;
  own.pid = getpid();
  own.cores = hash_of_cores();
  const std::string host = host_name();
  std::memcpy(own.host.data(), host.data(), std::min(host.size(), own.host.size() - 1));
  std::vector<Card> cards(static_cast<size_t>(size));
  try {
    ranks->comm_->all_gather(&own, cards.data(), sizeof(own));
    ranks->names_.clear();
    ranks->local_size_ = ranks->sharing_cores_ = 0;
    for (int rank = 0; rank < size; ++rank) {
      const Card& card = cards[static_cast<size_t>(rank)];
      if (card.protocol != kProtocol)
        return fail(ErrorCode::kInvalidArgument, "rank {} runs another version of this program", rank);
      ranks->names_.push_back(fmt::format("rank {} (pid {} on {})", rank, card.pid, card.host.data()));
      if (card.host != own.host) continue;
      ++ranks->local_size_;
      if (card.cores == own.cores) ++ranks->sharing_cores_;
    }
    auto started = Watch::start(*ranks->comm_, ranks->names_, ranks->local_size_ == size, ranks->alarm_,
                                std::move(watch));
    if (!started) return tl::make_unexpected(started.error());
    ranks->watch_ = std::move(*started);
  } catch (const RankError& error) {
    return fail(ErrorCode::kUnavailable, "{}", error.what());
  }
  return ranks;
}

void Ranks::close_session(uint32_t session) {
  const std::lock_guard lock(mutex_);
  channel_->send(MessageKind::kClose, session, {});
}

void Ranks::end(int exit_code) {
  if (size() == 1) return;
  if (!alarm_.raised()) {
    if (rank() != 0) return;
    try {
      const std::lock_guard lock(mutex_);
      channel_->send(MessageKind::kEnd, static_cast<uint32_t>(exit_code), {});
      return;
    } catch (const std::exception&) {
      // The alarm has the reason.
    }
  }
  watch_->wait_told(kTellWithin);
}

}  // namespace ft::ranks
