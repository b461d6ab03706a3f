#include "core/ranks/shared_model.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <exception>
#include <map>
#include <new>
#include <optional>

#include "core/ranks/digest.h"
#include "core/ranks/mirror_backend.h"
#include "core/ranks/op_player.h"

namespace ft::ranks {

namespace {

// What a rank says when it has loaded its part, or could not.
struct Outcome {
  uint8_t loaded = 0;
  uint8_t has_draft = 0;
  int32_t error = 0;  // an ErrorCode
  Fingerprint fingerprint;
  int64_t weight_bytes = 0;
  int64_t memory = 0;             // what allocations of this rank may take
  std::array<char, 1024> text{};  // the problem, or what limits the memory
};

template <size_t size>
void set_text(const std::string& text, std::array<char, size>& to) {
  to.fill(0);
  std::memcpy(to.data(), text.data(), std::min(text.size(), size - 1));
}

// The fields of a request, each ended by a zero byte.
std::vector<uint8_t> packed(const ModelRequest& request) {
  std::vector<uint8_t> bytes;
  for (const std::string& field :
       {request.path, request.backend, request.mode, request.cpu_target, std::to_string(request.threads)}) {
    bytes.insert(bytes.end(), field.begin(), field.end());
    bytes.push_back(0);
  }
  return bytes;
}

ModelRequest unpacked(std::span<const uint8_t> bytes) {
  ModelRequest request;
  const auto* at = reinterpret_cast<const char*>(bytes.data());
  const char* end = at + bytes.size();
  std::string threads;
  for (std::string* field : {&request.path, &request.backend, &request.mode, &request.cpu_target, &threads}) {
    const auto* zero = static_cast<const char*>(std::memchr(at, 0, static_cast<size_t>(end - at)));
    if (zero == nullptr) throw RankError("rank 0 asked for a model in words that this rank does not know");
    field->assign(at, zero);
    at = zero + 1;
  }
  request.threads = std::stoi(threads);
  return request;
}

// What one rank has made of a request.
struct OwnPart {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Checkpoint> checkpoint;
  Outcome outcome;
  ErrorCode code = ErrorCode::kInternal;
};

// The memory of a host is shared by the ranks there; a device belongs to one.
MemoryLimit own_share(const Ranks& ranks, const Backend& backend) {
  MemoryLimit limit = backend.memory_limit();
  if (backend.name() == "cuda" || ranks.local_size() == 1) return limit;
  limit.bytes /= ranks.local_size();
  limit.what += fmt::format(" shared by {} ranks", ranks.local_size());
  return limit;
}

Result<void> load_into(OwnPart& part, const Ranks& ranks, const ModelRequest& request,
                       const MakeBackend& make_backend, const LoadProgress& progress) {
  auto backend = make_backend(request, ranks);
  if (!backend) return tl::make_unexpected(backend.error());
  part.backend = std::move(*backend);
  const auto print = fingerprint(request.path);
  if (!print) return tl::make_unexpected(print.error());
  auto checkpoint = Checkpoint::load(request.path, *part.backend, progress);
  if (!checkpoint) return tl::make_unexpected(checkpoint.error());
  part.checkpoint = std::move(*checkpoint);
  const ModelWeights& weights = part.checkpoint->weights();
  const MemoryLimit limit = own_share(ranks, *part.backend);
  part.outcome.loaded = 1;
  part.outcome.has_draft = !weights.mtp.empty() || weights.dspark != nullptr;
  part.outcome.fingerprint = *print;
  part.outcome.weight_bytes = part.checkpoint->weight_bytes();
  part.outcome.memory = limit.bytes;
  set_text(limit.what, part.outcome.text);
  return {};
}

// Never throws: the others wait for the outcome.
OwnPart load_part(const Ranks& ranks, const ModelRequest& request, const MakeBackend& make_backend,
                  const LoadProgress& progress) {
  OwnPart part;
  const auto failed = [&](ErrorCode code, const std::string& why) {
    part.outcome.loaded = 0;
    part.outcome.error = static_cast<int32_t>(code);
    set_text(why, part.outcome.text);
  };
  try {
    const auto loaded = load_into(part, ranks, request, make_backend, progress);
    if (!loaded) failed(loaded.error().code, loaded.error().message);
  } catch (const std::bad_alloc&) {
    failed(ErrorCode::kTooLarge, "out of memory while loading the weights");
  } catch (const std::exception& error) {
    failed(ErrorCode::kUnavailable, error.what());
  }
  return part;
}

// What is wrong with what the ranks have loaded: the same on every rank.
std::optional<Error> problem_of(const Ranks& ranks, const std::vector<Outcome>& all,
                                const std::string& path) {
  for (int rank = 0; rank < ranks.size(); ++rank) {
    const Outcome& one = all[static_cast<size_t>(rank)];
    if (one.loaded == 0)
      return Error{static_cast<ErrorCode>(one.error),
                   fmt::format("{} cannot load its part: {}", ranks.name(rank), one.text.data())};
  }
  for (int rank = 1; rank < ranks.size(); ++rank) {
    const Outcome& one = all[static_cast<size_t>(rank)];
    if (one.fingerprint != all[0].fingerprint)
      return Error{ErrorCode::kInvalidFile,
                   fmt::format("{} has another checkpoint at {} than rank 0: {} differ", ranks.name(rank),
                               path, one.fingerprint.difference(all[0].fingerprint))};
    if (one.has_draft != all[0].has_draft)
      return Error{ErrorCode::kInvalidFile,
                   fmt::format("{} and rank 0 do not agree on whether the draft of {} can "
                               "be used",
                               ranks.name(rank), path)};
  }
  return std::nullopt;
}

std::vector<Outcome> exchange(Ranks& ranks, const Outcome& own) {
  std::vector<Outcome> all(static_cast<size_t>(ranks.size()));
  ranks.comm().all_gather(&own, all.data(), sizeof(own));
  return all;
}

// A model on a follower.
struct FollowedModel {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<WeightCatalog> catalog;
  std::unique_ptr<OpPlayer> player;
};

std::optional<FollowedModel> open_as_follower(Ranks& ranks, const Message& message,
                                              const MakeBackend& make_backend) {
  const ModelRequest request = unpacked(message.bytes);
  OwnPart part = load_part(ranks, request, make_backend, {});
  if (problem_of(ranks, exchange(ranks, part.outcome), request.path)) return std::nullopt;
  FollowedModel model;
  model.backend = std::move(part.backend);
  model.checkpoint = std::move(part.checkpoint);
  model.catalog = std::make_unique<WeightCatalog>(*model.checkpoint);
  model.player = std::make_unique<OpPlayer>(*model.backend, ranks.comm(), ranks.patience());
  model.player->bind(*model.catalog);
  return model;
}

}  // namespace

Result<SharedModel> open_shared_model(Ranks& ranks, const ModelRequest& request,
                                      const MakeBackend& make_backend, const LoadProgress& progress) {
  if (ranks.size() == 1) {
    SharedModel model;
    auto backend = make_backend(request, ranks);
    if (!backend) return tl::make_unexpected(backend.error());
    model.backend = std::move(*backend);
    auto checkpoint = Checkpoint::load(request.path, *model.backend, progress);
    if (!checkpoint) return tl::make_unexpected(checkpoint.error());
    model.checkpoint = std::move(*checkpoint);
    model.parts = {{ranks.name(0), model.checkpoint->weight_bytes()}};
    return model;
  }
  // Held while everybody loads: no other model's ops come between.
  std::unique_lock lock(ranks.mutex());
  const uint32_t session = ranks.new_session();
  ranks.channel().send(MessageKind::kOpen, session, packed(request));
  OwnPart part = load_part(ranks, request, make_backend, progress);
  const std::vector<Outcome> all = exchange(ranks, part.outcome);
  if (const auto problem = problem_of(ranks, all, request.path)) return tl::make_unexpected(*problem);
  lock.unlock();
  SharedModel model;
  MemoryLimit least{INT64_MAX, ""};
  for (int rank = 0; rank < ranks.size(); ++rank) {
    const Outcome& one = all[static_cast<size_t>(rank)];
    model.parts.push_back({ranks.name(rank), one.weight_bytes});
    if (one.memory < least.bytes)
      least = {one.memory, fmt::format("{} of {}", one.text.data(), ranks.name(rank))};
  }
  auto mirror = std::make_unique<MirrorBackend>(ranks, session, std::move(part.backend));
  mirror->bind(*part.checkpoint, std::move(least));
  model.backend = std::move(mirror);
  model.checkpoint = std::move(part.checkpoint);
  return model;
}

int follow(Ranks& ranks, const MakeBackend& make_backend) {
  std::map<uint32_t, FollowedModel> models;
  for (;;) {
    const Message message = ranks.channel().receive();
    try {
      switch (message.kind) {
        case MessageKind::kOpen:
          if (auto model = open_as_follower(ranks, message, make_backend))
            models.emplace(message.session, std::move(*model));
          break;
        case MessageKind::kOps: {
          const Computing computing(ranks.patience());
          models.at(message.session).player->play(message.bytes);
          break;
        }
        case MessageKind::kClose:
          models.erase(message.session);
          break;
        case MessageKind::kEnd:
          return static_cast<int>(message.session);
      }
    } catch (const RankError& error) {
      ranks.alarm().raise_and_throw(fmt::format("{}: {}", ranks.name(ranks.rank()), error.what()));
    } catch (const std::exception& error) {
      ranks.alarm().raise_and_throw(
          fmt::format("{} failed in an op: {}", ranks.name(ranks.rank()), error.what()));
    }
  }
}

}  // namespace ft::ranks
