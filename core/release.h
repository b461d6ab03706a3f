// Which published release a checkpoint is, by its config.
#pragma once

#include <string>

#include "core/model_config.h"

namespace ft {

// "DeepSeek-V4-Flash-DSpark", "DeepSeek-V4-Pro-Base", ...; "DeepSeek-V4-DSpark, 5 layers 256 wide" where the
// sizes are those of no release. Later revisions of a release have its name: their configs do not differ.
std::string release_name(const ModelConfig& config);

}  // namespace ft
