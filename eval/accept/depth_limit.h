// A drafter whose trees are cut at a depth, for the depth axis of the acceptance grid. Its time is that of
// the whole draft.
#pragma once

#include <algorithm>
#include <memory>

#include "draft/drafter_wrapper.h"

namespace ft::eval {

class DepthLimit final : public draft::DrafterWrapper {
 public:
  DepthLimit(std::unique_ptr<draft::Drafter> inner, int32_t depth)
      : DrafterWrapper(std::move(inner)), depth_(depth) {}

  int depth_max() const override { return std::min(DrafterWrapper::depth_max(), depth_); }
  void propose(std::span<const draft::ProposeRequest> requests, std::span<draft::DraftTree> trees) override;

 private:
  int32_t depth_;
};

}  // namespace ft::eval
