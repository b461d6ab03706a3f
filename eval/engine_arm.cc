#include "eval/engine_arm.h"

#include <charconv>

namespace ft::eval {

Result<GenerateOptions> parse_arm(const std::string& name, const GenerateOptions& base) {
  const size_t first = name.find('/');
  const size_t second = first == std::string::npos ? first : name.find('/', first + 1);
  if (second != std::string::npos) {
    GenerateOptions options = base;
    options.session.backend = name.substr(0, first);
    options.drafter = name.substr(first + 1, second - first - 1);
    const std::string nodes = name.substr(second + 1);
    if (nodes == "adaptive") {
      options.tree_nodes = 0;
      return options;
    }
    const char* end = nodes.data() + nodes.size();
    const auto parsed = std::from_chars(nodes.data(), end, options.tree_nodes);
    if (parsed.ptr == end && parsed.ec == std::errc() && options.tree_nodes >= 1) return options;
  }
  return fail(ErrorCode::kInvalidArgument,
              "arm \"{}\": expected backend/drafter/nodes, as in cpu/dspark/8 or cpu/dspark/adaptive", name);
}

Result<std::unique_ptr<EngineArm>> open_arm(const std::string& name, const GenerateOptions& options,
                                            std::vector<std::vector<int32_t>>& prompts) {
  auto arm = std::make_unique<EngineArm>();
  arm->name = name;
  arm->options = options;
  auto session = open_session(options.session);
  if (!session) return tl::make_unexpected(session.error());
  arm->session = std::move(*session);
  if (prompts.empty()) {
    auto read = load_prompts(options.prompts, arm->session.config(), options.session.model);
    if (!read) return tl::make_unexpected(read.error());
    for (Prompt& prompt : *read) prompts.push_back(std::move(prompt.tokens));
  }
  const auto settings = engine_options(options, arm->session.config(), prompts);
  if (!settings) return tl::make_unexpected(settings.error());
  auto engine = scheduler::Engine::create(*arm->session.backend, *arm->session.checkpoint, *settings);
  if (!engine) return tl::make_unexpected(engine.error());
  arm->engine = std::move(*engine);
  return arm;
}

}  // namespace ft::eval
