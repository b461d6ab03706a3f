#include "eval/simulate/deployment.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <set>
#include <utility>

namespace ft::eval {

namespace {

// In [0, 1).
double unit(std::mt19937_64& random) {
  return static_cast<double>(random() >> 11) * 0x1p-53;
}

}  // namespace

std::vector<LoadRequest> run_open_loop(const Deployment& deployment, std::span<const VirtualRequest> requests,
                                       uint64_t seed, const std::function<void(double)>& advance) {
  std::vector<std::unique_ptr<Replica>> replicas;
  for (int32_t i = 0; i < deployment.replicas; ++i)
    replicas.push_back(std::make_unique<Replica>(deployment.replica, deployment.model, deployment.costs,
                                                 deployment.acceptance, seed + static_cast<uint64_t>(i)));
  // Busy replicas by the moment at which their next step begins.
  std::set<std::pair<double, size_t>> busy;
  std::vector<LoadRequest> ended;
  size_t next = 0;
  while (ended.size() < requests.size()) {
    if (next < requests.size() && (busy.empty() || requests[next].at <= busy.begin()->first)) {
      const auto least =
          std::ranges::min_element(replicas, {}, [](const auto& replica) { return replica->unfinished(); });
      Replica& chosen = **least;
      const bool idle = chosen.unfinished() == 0;
      chosen.submit(requests[next++]);
      if (idle) busy.emplace(chosen.now(), static_cast<size_t>(least - replicas.begin()));
      continue;
    }
    const size_t first = busy.begin()->second;
    busy.erase(busy.begin());
    Replica& replica = *replicas[first];
    replica.step();
    for (LoadRequest& request : replica.take_finished()) ended.push_back(std::move(request));
    if (replica.unfinished() > 0) busy.emplace(replica.now(), first);
    if (advance) advance(static_cast<double>(ended.size()) / static_cast<double>(requests.size()));
  }
  return ended;
}

ClosedLoopFigures run_closed_loop(const Deployment& deployment, const ClosedLoop& loop, uint64_t seed) {
  ReplicaOptions options = deployment.replica;
  options.requests_max = loop.users;
  Replica replica(options, deployment.model, deployment.costs, deployment.acceptance, seed);
  std::mt19937_64 random(seed);
  const auto submit = [&](double share) {
    VirtualRequest request;
    request.at = replica.now();
    request.prompt_tokens = loop.prompt_tokens;
    request.completion_tokens = std::max<int64_t>(
        2, std::llround((0.5 + unit(random)) * share * static_cast<double>(loop.completion_tokens)));
    request.domain = deployment.acceptance.domain_at(unit(random));
    replica.submit(request);
  };
  // As in the middle of a long day: the first requests are partly done.
  for (int32_t user = 0; user < loop.users; ++user) submit(unit(random));
  scheduler::EngineStats before;
  double began = 0.0;
  for (int64_t step = 0; step < loop.warm_up_steps + loop.steps; ++step) {
    if (step == loop.warm_up_steps) {
      before = replica.stats();
      began = replica.now();
    }
    replica.step();
    for (size_t i = replica.take_finished().size(); i > 0; --i) submit(1.0);
  }
  const scheduler::EngineStats& after = replica.stats();
  const double seconds = replica.now() - began;
  const auto tokens = static_cast<double>(after.generation_tokens - before.generation_tokens);
  const auto decoded = static_cast<double>(after.decode_steps - before.decode_steps);
  ClosedLoopFigures figures;
  figures.tokens_per_second = tokens / seconds;
  figures.per_user = figures.tokens_per_second / loop.users;
  figures.rows_per_request = 1.0 + static_cast<double>(after.draft_tokens - before.draft_tokens) / decoded;
  figures.accepted_length =
      1.0 + static_cast<double>(after.accepted_tokens - before.accepted_tokens) / decoded;
  figures.drafting = static_cast<double>(after.drafts - before.drafts) / decoded;
  figures.step_seconds = seconds / static_cast<double>(loop.steps);
  return figures;
}

}  // namespace ft::eval
