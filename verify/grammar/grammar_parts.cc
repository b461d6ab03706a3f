#include "verify/grammar/grammar_parts.h"

#include <utility>

namespace ft::grammar {

NodeId append(Grammar& grammar, const Grammar& part) {
  const auto moved = static_cast<NodeId>(grammar.nodes.size());
  const auto place = [moved](NodeId& node) {
    if (node != UINT32_MAX) node += moved;
  };
  const auto shifted = [](std::vector<uint32_t> rules, size_t by) {
    for (uint32_t& rule : rules) rule += static_cast<uint32_t>(by);
    return rules;
  };
  for (const Node& node : part.nodes)
    grammar.nodes.push_back(
        {shifted(node.literals, grammar.literals.size()), shifted(node.strings, grammar.strings.size()),
         shifted(node.arrays, grammar.arrays.size()), shifted(node.objects, grammar.objects.size()),
         shifted(node.texts, grammar.strings.size()), shifted(node.markups, grammar.markups.size())});
  grammar.literals.insert(grammar.literals.end(), part.literals.begin(), part.literals.end());
  grammar.strings.insert(grammar.strings.end(), part.strings.begin(), part.strings.end());
  for (ArrayRule array : part.arrays) {
    for (NodeId& item : array.prefix) place(item);
    place(array.rest);
    place(array.contained);
    grammar.arrays.push_back(std::move(array));
  }
  for (ObjectRule object : part.objects) {
    for (ObjectRule::Member& member : object.members) place(member.value);
    for (NodeId& value : object.extra_values) place(value);
    grammar.objects.push_back(std::move(object));
  }
  for (MarkupRule markup : part.markups) {
    place(markup.begin);
    for (MarkupRule::Texts& texts : markup.texts)
      for (MarkupRule::Edge& edge : texts.edges) place(edge.value);
    grammar.markups.push_back(std::move(markup));
  }
  return moved;
}

NodeId append_text(Grammar& grammar, Automaton texts) {
  auto language = std::make_shared<const TextLanguage>(std::move(texts), TextForm::kPlain);
  const auto rule = static_cast<uint32_t>(grammar.strings.size());
  grammar.strings.push_back(StringRule::make(std::move(language), 0, StringRule::kNoMaximum));
  grammar.nodes.emplace_back().texts.push_back(rule);
  return static_cast<NodeId>(grammar.nodes.size()) - 1;
}

}  // namespace ft::grammar
