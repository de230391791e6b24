// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/journey_draw.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

#include <fmt/format.h>

#include "src/lab/columns.h"

namespace mb::lab {
namespace {

struct DrawingWords {
  // `memory`: of a place, two ends of the request, two of the answer.
  std::string request, reply, source, dest, socket, ends, memory, changes_dest, changes_source;
};

const DrawingWords& drawing_words_in(Language language) {
  static const DrawingWords kEnglish{"request",
                                     "reply",
                                     "source",
                                     "destination",
                                     "program",
                                     "the packet ends here",
                                     "conntrack {} remembers {} → {}; answers come as {} → {}",
                                     "destination",
                                     "source"};
  static const DrawingWords kChinese{"请求",
                                     "应答",
                                     "源地址",
                                     "目的地址",
                                     "程序",
                                     "数据包到此为止",
                                     "{} 的连接跟踪记录：{} → {}，应答方向 {} → {}",
                                     "目的地址",
                                     "源地址"};
  return language == Language::zh ? kChinese : kEnglish;
}

// ---- the table

using HopRow = std::array<std::string, 4>;  // place, where in it, source, destination

std::string where_in(const Hop& hop, const DrawingWords& words) {
  if (hop.kind == Hop::at_socket) return words.socket;
  return hop.direction == Direction::in ? "→ " + hop.interface : hop.interface + " →";
}

std::string cell(const SocketAddress& address, bool changed) {
  return changed ? fmt::format("[{}]", address_text(address)) : fmt::format(" {} ", address_text(address));
}

// The chain stands on a line of its own, between the two stops.
std::vector<HopRow> rows_of(const std::vector<Hop>& hops, const DrawingWords& words) {
  std::vector<HopRow> rows;
  for (const Hop& hop : hops) {
    if (hop.source_changed_in == hop.dest_changed_in && hop.source_changed_in) {
      rows.push_back({"", std::string(to_string(*hop.dest_changed_in)), " ↓", " ↓"});
    } else {
      if (hop.dest_changed_in) rows.push_back({"", std::string(to_string(*hop.dest_changed_in)), "", " ↓"});
      if (hop.source_changed_in) rows.push_back({"", std::string(to_string(*hop.source_changed_in)), " ↓", ""});
    }
    rows.push_back({hop.place.str(), where_in(hop, words), cell(hop.source, hop.source_changed_in.has_value()),
                    cell(hop.dest, hop.dest_changed_in.has_value())});
  }
  return rows;
}

class Table {
 public:
  Table(const DrawingWords& words, const Paint& paint) : words_(words), paint_(paint) {}

  std::string draw(const Journey& journey) {
    const auto request = rows_of(journey.request, words_);
    const auto reply = rows_of(journey.reply, words_);
    measure({{words_.request, "", " " + words_.source, " " + words_.dest}});
    measure(request);
    measure(reply);
    add_heading(words_.request);
    add_rows(request);
    const bool lost = journey.outcome.kind == Outcome::dropped;
    if (lost && journey.reply.empty()) add_end();
    if (!reply.empty()) {
      add_heading(words_.reply);
      add_rows(reply);
      if (lost) add_end();
    }
    for (const Memory& memory : journey.memories) add_memory(memory);
    return std::move(text_);
  }

 private:
  void measure(const std::vector<HopRow>& rows) {
    for (const HopRow& row : rows) {
      for (std::size_t i = 0; i < row.size(); ++i) widths_[i] = std::max(widths_[i], width_of(row[i]));
    }
  }

  void add_heading(const std::string& word) {
    text_ += paint_.quiet(line_of({word, "", " " + words_.source, " " + words_.dest}, "")) + "\n";
  }

  void add_rows(const std::vector<HopRow>& rows) {
    for (const HopRow& row : rows) text_ += line_of(row, "  ") + "\n";
  }

  void add_end() { text_ += "  " + paint_.bad("✗ " + words_.ends) + "\n"; }

  void add_memory(const Memory& memory) {
    text_ += paint_.quiet(fmt::format(fmt::runtime(words_.memory), memory.place.str(),
                                      address_text(memory.original_source), address_text(memory.original_dest),
                                      address_text(memory.reply_source), address_text(memory.reply_dest))) +
             "\n";
  }

  // Padded before it is painted: colours have no width.
  std::string line_of(const HopRow& row, const std::string& indent) const {
    std::string line = padded(indent + row[0], widths_[0] + 4);
    line += padded(row[1], widths_[1] + 2);
    line += painted(padded(row[2], widths_[2] + 2));
    line += painted(row[3]);
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  }

  std::string painted(const std::string& cell) const { return cell.starts_with('[') ? paint_.changed(cell) : cell; }

  const DrawingWords& words_;
  const Paint& paint_;
  std::array<std::size_t, 4> widths_{};
  std::string text_;
};

// ---- the sequence diagram

class Mermaid {
 public:
  explicit Mermaid(const DrawingWords& words) : words_(words) {}

  std::string draw(const Journey& journey) {
    for (const auto* hops : {&journey.request, &journey.reply}) {
      for (const Hop& hop : *hops) number_of(hop.place);
    }
    text_ = "sequenceDiagram\n";
    for (std::size_t i = 0; i < places_.size(); ++i)
      text_ += fmt::format("    participant p{} as {}\n", i, places_[i].str());
    add_hops(journey.request, "->>");
    const bool lost = journey.outcome.kind == Outcome::dropped;
    if (lost && journey.reply.empty()) add_end(journey.request);
    add_hops(journey.reply, "-->>");
    if (lost) add_end(journey.reply);
    return std::move(text_);
  }

 private:
  std::size_t number_of(const Place& place) {
    const auto found = std::find(places_.begin(), places_.end(), place);
    if (found != places_.end()) return static_cast<std::size_t>(found - places_.begin());
    places_.push_back(place);
    return places_.size() - 1;
  }

  void add_hops(const std::vector<Hop>& hops, std::string_view arrow) {
    for (std::size_t i = 0; i < hops.size(); ++i) {
      const Hop& hop = hops[i];
      if (hop.dest_changed_in) add_note(hop.place, *hop.dest_changed_in, words_.changes_dest, hop.dest);
      if (hop.source_changed_in) add_note(hop.place, *hop.source_changed_in, words_.changes_source, hop.source);
      if (i + 1 < hops.size() && crosses_a_link(hop, hops[i + 1])) {
        text_ += fmt::format("    p{}{}p{}: {} → {}\n", number_of(hop.place), arrow, number_of(hops[i + 1].place),
                             address_text(hop.source), address_text(hop.dest));
      }
    }
  }

  // Over the loopback device a packet goes from a place to itself.
  static bool crosses_a_link(const Hop& from, const Hop& to) {
    return from.kind == Hop::at_interface && to.kind == Hop::at_interface && from.direction == Direction::out &&
           to.direction == Direction::in;
  }

  void add_note(const Place& place, Hook hook, const std::string& what, const SocketAddress& to) {
    text_ += fmt::format("    Note over p{}: {}: {} ⇒ {}\n", number_of(place), to_string(hook), what, address_text(to));
  }

  void add_end(const std::vector<Hop>& hops) {
    if (!hops.empty()) text_ += fmt::format("    Note over p{}: ✗ {}\n", number_of(hops.back().place), words_.ends);
  }

  const DrawingWords& words_;
  std::vector<Place> places_;
  std::string text_;
};

}  // namespace

std::string draw_table(const Journey& journey, Language language, const Paint& paint) {
  return Table(drawing_words_in(language), paint).draw(journey);
}

std::string draw_mermaid(const Journey& journey, Language language) {
  return Mermaid(drawing_words_in(language)).draw(journey);
}

}  // namespace mb::lab
