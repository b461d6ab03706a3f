// A drafter that is right as often as one wishes: it costs what the checkpoint's own drafter costs, and
// proposes what the target is known to say. For measuring what speculation is worth at a given acceptance;
// not a drafter for serving.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "draft/drafter_wrapper.h"

namespace ft::eval {

class ScriptedDrafter final : public draft::DrafterWrapper {
 public:
  // Every request's drafts are right with probability `rate` at each depth, given that the depths before
  // were.
  ScriptedDrafter(std::unique_ptr<draft::Drafter> inner, double rate);

  // Prompt and completion of the request whose sampling seed this is. Requests that nobody told about get the
  // inner drafter's trees.
  void learn(uint64_t seed, std::vector<int32_t> tokens) { known_[seed] = std::move(tokens); }

  std::string_view name() const override { return "scripted"; }
  // A chain per request, as deep as the inner drafter's. No drawn chains.
  void propose(std::span<const draft::ProposeRequest> requests, std::span<draft::DraftTree> trees) override;

 private:
  void script(const draft::ProposeRequest& request, const std::vector<int32_t>& tokens,
              draft::DraftTree& tree) const;

  double rate_;
  std::unordered_map<uint64_t, std::vector<int32_t>> known_;
};

}  // namespace ft::eval
