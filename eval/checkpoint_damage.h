// Checkpoints that no loader may accept: broken files, and formats that are none of ours.
#pragma once

#include <vector>

#include "eval/checkpoint_form.h"

namespace ft::eval {

std::vector<CheckpointForm> refused_forms();

}  // namespace ft::eval
