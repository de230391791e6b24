// SPDX-License-Identifier: GPL-2.0-or-later
//
// Text and SVG are two renderings of one layout, which counts in character cells.
#include "src/lab/graph.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "src/base/text.h"

namespace mb::lab {
namespace {

constexpr std::size_t kMostToArrange = 7;  // nodes whose every order is tried: 5040 of 7

// What is written at one end of a link: the interface, then its addresses.
struct Label {
  std::string interface;
  std::vector<std::string> addresses;
  std::size_t width() const {
    std::size_t widest = interface.size();
    for (const auto& address : addresses) widest = std::max(widest, address.size());
    return widest;
  }
};

Label label_of(const End& end) {
  Label label{end.interface.str(), {}};
  for (const auto& address : end.addresses) label.addresses.push_back(address.str());
  return label;
}

std::string kind_of(const Node& node) {
  if (node.kind == NodeKind::host) return {};
  return node.nat.empty() ? "router" : "router, NAT";
}

// ---- the order of the nodes from left to right

using Order = std::vector<std::size_t>;  // place -> node in the file

std::size_t index_of(const Topology& topology, const Name& node) {
  for (std::size_t i = 0; i < topology.nodes.size(); ++i) {
    if (topology.nodes[i].name == node) return i;
  }
  return 0;
}

std::vector<std::vector<std::size_t>> members_of_links(const Topology& topology) {
  std::vector<std::vector<std::size_t>> all;
  for (const Link& link : topology.links) {
    auto& members = all.emplace_back();
    for (const End& end : link.ends) members.push_back(index_of(topology, end.node));
  }
  return all;
}

// How long all lines are together.
std::size_t length_of(const Order& order, const std::vector<std::vector<std::size_t>>& links) {
  std::vector<std::size_t> place(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) place[order[i]] = i;
  std::size_t length = 0;
  for (const auto& members : links) {
    std::size_t first = order.size();
    std::size_t last = 0;
    for (const std::size_t node : members) {
      first = std::min(first, place[node]);
      last = std::max(last, place[node]);
    }
    length += last - std::min(first, last);
  }
  return length;
}

Order best_order(const Topology& topology) {
  Order order(topology.nodes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (order.size() > kMostToArrange) return order;
  const auto links = members_of_links(topology);
  Order best = order;
  std::size_t least = length_of(order, links);
  while (std::next_permutation(order.begin(), order.end())) {
    const std::size_t length = length_of(order, links);
    if (length >= least) continue;
    least = length;
    best = order;
  }
  return best;
}

// ---- the layout

struct Column {
  const Node* node = nullptr;
  std::size_t x = 0;  // of its line
  std::size_t box_left = 0;
  std::size_t box_width = 0;
};

struct Tap {
  std::size_t column = 0;
  bool to_the_left = false;  // its label stands left of the column's line
  Label label;
};

struct Row {
  const Link* link = nullptr;
  std::size_t y = 0;
  std::vector<Tap> taps;  // from left to right
};

struct Layout {
  std::vector<Column> columns;
  std::vector<Row> rows;
  std::size_t width = 0;
  std::size_t height = 0;
};

constexpr std::size_t kBoxHeight = 4;

std::size_t box_width(const Node& node) { return std::max(node.name.str().size(), kind_of(node).size()) + 4; }

std::vector<Tap> taps_of(const Topology& topology, const Link& link, const std::vector<std::size_t>& place) {
  std::vector<Tap> taps;
  for (const End& end : link.ends) taps.push_back({place[index_of(topology, end.node)], false, label_of(end)});
  std::stable_sort(taps.begin(), taps.end(), [](const Tap& a, const Tap& b) { return a.column < b.column; });
  // The last one's label stands before its column, inside the drawing, unless nothing is left of it.
  if (taps.size() > 1 && taps.back().column != taps.front().column) taps.back().to_the_left = true;
  return taps;
}

// Whether the addresses at the two ends of a line are meant to stand side by side.
enum class Spacing : std::uint8_t { roomy, tight };

// The space that the labels between two neighbouring taps need.
std::size_t space_between(const Tap& left, const Tap& right, Spacing spacing) {
  if (spacing == Spacing::roomy) {
    return 3 + (left.to_the_left ? 0 : left.label.width()) + (right.to_the_left ? right.label.width() : 0);
  }
  const std::size_t interfaces =
      (left.to_the_left ? 0 : left.label.interface.size()) + (right.to_the_left ? right.label.interface.size() : 0);
  std::size_t widest = interfaces + 3;
  if (!left.to_the_left) widest = std::max(widest, left.label.width() + 1);
  if (right.to_the_left) widest = std::max(widest, right.label.width() + 1);
  return widest;
}

void make_room(std::vector<Column>& columns, const std::vector<Row>& rows, Spacing spacing) {
  for (std::size_t i = 1; i < columns.size(); ++i) {
    const auto& left = columns[i - 1];
    std::size_t x = left.x + (left.box_width + columns[i].box_width) / 2 + 2;
    for (const Row& row : rows) {
      for (std::size_t t = 1; t < row.taps.size(); ++t) {
        if (row.taps[t].column != i || row.taps[t - 1].column == i) continue;
        x = std::max(x, columns[row.taps[t - 1].column].x + space_between(row.taps[t - 1], row.taps[t], spacing) + 1);
      }
    }
    columns[i].x = x;
    columns[i].box_left = x - columns[i].box_width / 2;
  }
}

std::size_t address_lines(const Row& row) {
  std::size_t lines = 0;
  for (const Tap& tap : row.taps) lines = std::max(lines, tap.label.addresses.size());
  return lines;
}

// Where the text of a tap's line `i` (0: the interface) begins.
std::size_t text_x(const Column& column, const Tap& tap, const std::string& text) {
  return tap.to_the_left ? column.x - text.size() - (text == tap.label.interface ? 1 : 0) : column.x + 2;
}

// Addresses at both ends of one gap share a line if they fit, else the right end's come below the left end's.
bool share_lines(const Layout& layout, const Row& row) {
  for (std::size_t t = 1; t < row.taps.size(); ++t) {
    const Tap& left = row.taps[t - 1];
    const Tap& right = row.taps[t];
    const std::size_t gap = layout.columns[right.column].x - layout.columns[left.column].x;
    const std::size_t needed =
        (left.to_the_left ? 0 : left.label.width()) + (right.to_the_left ? right.label.width() : 0);
    if (right.to_the_left && needed + 4 > gap) return false;
  }
  return true;
}

std::size_t row_height(const Layout& layout, const Row& row) {
  const std::size_t lines = address_lines(row);
  return 2 + (share_lines(layout, row) ? lines : lines + row.taps.back().label.addresses.size());
}

std::size_t right_edge(const Layout& layout) {
  std::size_t edge = 0;
  for (const Column& column : layout.columns) edge = std::max(edge, column.box_left + column.box_width);
  for (const Row& row : layout.rows) {
    for (const Tap& tap : row.taps) {
      if (!tap.to_the_left) edge = std::max(edge, layout.columns[tap.column].x + 2 + tap.label.width());
    }
  }
  return edge;
}

Layout arrange(const Topology& topology, Spacing spacing) {
  const Order order = best_order(topology);
  std::vector<std::size_t> place(order.size());
  Layout layout;
  for (std::size_t i = 0; i < order.size(); ++i) {
    place[order[i]] = i;
    Column column;
    column.node = &topology.nodes[order[i]];
    column.box_width = box_width(*column.node);
    column.x = column.box_width / 2;
    layout.columns.push_back(column);
  }
  for (const Link& link : topology.links) layout.rows.push_back({&link, 0, taps_of(topology, link, place)});
  make_room(layout.columns, layout.rows, spacing);
  std::size_t y = kBoxHeight;
  for (Row& row : layout.rows) {
    row.y = y;
    y += row_height(layout, row);
  }
  layout.width = right_edge(layout);
  layout.height = y;
  return layout;
}

// ---- as text

class Canvas {
 public:
  Canvas(std::size_t width, std::size_t height) : cells_(height, std::vector<std::string>(width, " ")) {}

  void put(std::size_t x, std::size_t y, std::string_view cell) {
    if (y < cells_.size() && x < cells_[y].size()) cells_[y][x] = cell;
  }
  void write(std::size_t x, std::size_t y, std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) put(x + i, y, text.substr(i, 1));
  }
  void line(std::size_t from, std::size_t to, std::size_t y) {
    for (std::size_t x = from; x <= to; ++x) put(x, y, "─");
  }
  std::string str() const {
    std::string all;
    for (const auto& row : cells_) {
      std::string line;
      for (const auto& cell : row) line += cell;
      line.erase(line.find_last_not_of(' ') + 1);
      all += line + "\n";
    }
    return all.substr(0, all.find_last_not_of('\n') + 2);  // the space below the last link is for nobody
  }

 private:
  std::vector<std::vector<std::string>> cells_;
};

void draw_box(Canvas& canvas, const Column& column) {
  const std::size_t right = column.box_left + column.box_width - 1;
  canvas.line(column.box_left, right, 0);
  canvas.line(column.box_left, right, 3);
  for (const std::size_t y : {std::size_t{1}, std::size_t{2}}) {
    canvas.put(column.box_left, y, "│");
    canvas.put(right, y, "│");
  }
  canvas.put(column.box_left, 0, "┌");
  canvas.put(right, 0, "┐");
  canvas.put(column.box_left, 3, "└");
  canvas.put(right, 3, "┘");
  const auto centred = [&](const std::string& text, std::size_t y) {
    canvas.write(column.box_left + (column.box_width - text.size()) / 2, y, text);
  };
  centred(column.node->name.str(), 1);
  centred(kind_of(*column.node), 2);
}

// A column's line ends at its last link.
std::size_t bottom_of(const Layout& layout, std::size_t column) {
  std::size_t bottom = 0;
  for (const Row& row : layout.rows) {
    for (const Tap& tap : row.taps) {
      if (tap.column == column) bottom = row.y;
    }
  }
  return bottom;
}

std::string_view joint(bool left, bool right, bool below) {
  if (left && right) return below ? "┼" : "┴";
  if (left) return below ? "┤" : "┘";
  if (right) return below ? "├" : "└";
  return below ? "│" : "╵";
}

void draw_row(Canvas& canvas, const Layout& layout, const Row& row) {
  const std::size_t first = layout.columns[row.taps.front().column].x;
  const std::size_t last = layout.columns[row.taps.back().column].x;
  for (std::size_t x = first; x <= last; ++x) {
    const bool crosses = std::any_of(layout.columns.begin(), layout.columns.end(), [&](const Column& column) {
      return column.x == x && bottom_of(layout, static_cast<std::size_t>(&column - layout.columns.data())) > row.y;
    });
    canvas.put(x, row.y, crosses ? "│" : "─");
  }
  const bool shared = share_lines(layout, row);
  std::size_t below_left = 0;
  for (const Tap& tap : row.taps) {
    const Column& column = layout.columns[tap.column];
    canvas.put(column.x, row.y, joint(column.x > first, column.x<last, bottom_of(layout, tap.column)> row.y));
    canvas.write(text_x(column, tap, tap.label.interface), row.y, tap.label.interface);
    const std::size_t down = tap.to_the_left && !shared ? below_left : 0;
    for (std::size_t i = 0; i < tap.label.addresses.size(); ++i) {
      const auto& address = tap.label.addresses[i];
      canvas.write(tap.to_the_left ? column.x - address.size() - 1 : text_x(column, tap, address), row.y + 1 + down + i,
                   address);
    }
    if (!tap.to_the_left) below_left = std::max(below_left, tap.label.addresses.size());
  }
}

std::string draw_columns(const Layout& layout) {
  Canvas canvas(layout.width, layout.height);
  for (std::size_t i = 0; i < layout.columns.size(); ++i) {
    const Column& column = layout.columns[i];
    draw_box(canvas, column);
    const std::size_t bottom = bottom_of(layout, i);
    if (bottom == 0) continue;
    canvas.put(column.x, 3, "┬");
    for (std::size_t y = kBoxHeight; y < bottom; ++y) canvas.put(column.x, y, "│");
  }
  for (const Row& row : layout.rows) draw_row(canvas, layout, row);
  return canvas.str();
}

// ---- as a list

std::string others_of(const Link& link, const End& end) {
  std::vector<std::string> others;
  for (const End& other : link.ends) {
    if (&other != &end) others.push_back(fmt::format("{} {}", other.node.str(), other.interface.str()));
  }
  constexpr std::size_t kShown = 3;
  const std::size_t hidden = others.size() > kShown ? others.size() - kShown : 0;
  others.resize(others.size() - hidden);
  const std::string all = others.empty() ? "nobody yet" : join(others, ", ");
  return hidden == 0 ? all : fmt::format("{} and {} more", all, hidden);
}

std::string draw_list(const Topology& topology) {
  std::string text;
  for (const Node& node : topology.nodes) {
    const std::string kind = kind_of(node);
    text += kind.empty() ? node.name.str() + "\n" : fmt::format("{} ({})\n", node.name.str(), kind);
    for (const Link& link : topology.links) {
      for (const End& end : link.ends) {
        if (end.node != node.name) continue;
        text += fmt::format("  {:<8} -- {}\n", end.interface.str(), others_of(link, end));
        for (const auto& address : end.addresses) text += fmt::format("           {}\n", address.str());
      }
    }
  }
  return text;
}

// ---- as SVG

constexpr int kCellWidth = 8;
constexpr int kCellHeight = 18;

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      default: result += c;
    }
  }
  return result;
}

int px(std::size_t cells) { return static_cast<int>(cells) * kCellWidth + kCellWidth; }
int py(std::size_t cells) { return static_cast<int>(cells) * kCellHeight + kCellHeight; }

std::string svg_text(int x, int y, std::string_view anchor, std::string_view style, std::string_view text) {
  return fmt::format("  <text x=\"{}\" y=\"{}\" text-anchor=\"{}\" class=\"{}\">{}</text>\n", x, y, anchor, style,
                     escaped(text));
}

std::string svg_line(int x1, int y1, int x2, int y2, std::string_view style) {
  return fmt::format("  <line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" class=\"{}\"/>\n", x1, y1, x2, y2, style);
}

std::string svg_box(const Column& column) {
  const int width = static_cast<int>(column.box_width) * kCellWidth;
  const int left = px(column.x) - width / 2;
  std::string svg = fmt::format("  <rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"4\"/>\n", left, py(0) - 10,
                                width, kCellHeight * 2 + 16);
  const std::string kind = kind_of(*column.node);
  svg += svg_text(px(column.x), py(kind.empty() ? 1 : 0) + (kind.empty() ? -2 : 8), "middle", "node",
                  column.node->name.str());
  if (!kind.empty()) svg += svg_text(px(column.x), py(1) + 6, "middle", "kind", kind);
  return svg;
}

std::string svg_tap(const Column& column, const Row& row, const Tap& tap, std::size_t down) {
  const std::string_view anchor = tap.to_the_left ? "end" : "start";
  const int x = px(column.x) + (tap.to_the_left ? -8 : 8);
  std::string svg = fmt::format("  <circle cx=\"{}\" cy=\"{}\" r=\"3\"/>\n", px(column.x), py(row.y));
  svg += svg_text(x, py(row.y) - 5, anchor, "interface", tap.label.interface);
  for (std::size_t i = 0; i < tap.label.addresses.size(); ++i) {
    svg += svg_text(x, py(row.y + 1 + down + i) - 2, anchor, "address", tap.label.addresses[i]);
  }
  return svg;
}

std::string svg_row(const Layout& layout, const Row& row) {
  const int y = py(row.y);
  std::string svg = svg_line(px(layout.columns[row.taps.front().column].x), y,
                             px(layout.columns[row.taps.back().column].x), y, "link");
  const std::size_t below = share_lines(layout, row) ? 0 : address_lines(row);
  for (const Tap& tap : row.taps) svg += svg_tap(layout.columns[tap.column], row, tap, tap.to_the_left ? below : 0);
  return svg;
}

// ---- as mermaid

std::string mermaid_id(std::size_t number) { return fmt::format("n{}", number); }

std::string mermaid_end(const End& end) {
  std::string text = end.interface.str();
  for (const auto& address : end.addresses) text += " " + address.str();
  return text;
}

std::string mermaid_link(const Topology& topology, const Link& link, std::size_t number) {
  const auto id = [&](const End& end) { return mermaid_id(index_of(topology, end.node)); };
  if (!link.is_switch) {
    return fmt::format("  {} ---|\"{}<br/>{}\"| {}\n", id(link.ends[0]), mermaid_end(link.ends[0]),
                       mermaid_end(link.ends[1]), id(link.ends[1]));
  }
  std::string text = fmt::format("  s{}([\"{}\"])\n", number, escaped(link.name));
  for (const End& end : link.ends) {
    text += fmt::format("  {} ---|\"{}\"| s{}\n", id(end), mermaid_end(end), number);
  }
  return text;
}

}  // namespace

std::string draw_text(const Topology& topology, std::size_t width) {
  for (const Spacing spacing : {Spacing::roomy, Spacing::tight}) {
    const Layout layout = arrange(topology, spacing);
    if (layout.width <= width) return draw_columns(layout);
  }
  return draw_list(topology);
}

std::string draw_mermaid(const Topology& topology) {
  std::string text = "graph LR\n";
  for (std::size_t i = 0; i < topology.nodes.size(); ++i) {
    const Node& node = topology.nodes[i];
    const std::string kind = kind_of(node);
    text += fmt::format("  {}[\"{}{}\"]\n", mermaid_id(i), node.name.str(), kind.empty() ? "" : "<br/>" + kind);
  }
  for (std::size_t i = 0; i < topology.links.size(); ++i) text += mermaid_link(topology, topology.links[i], i);
  return text;
}

std::string draw_svg(const Topology& topology) {
  const Layout layout = arrange(topology, Spacing::roomy);
  const int width = px(layout.width) + kCellWidth;
  const int height = py(layout.height);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" role=\"img\">\n"
      "  <title>{2}</title>\n"
      "  <style>\n"
      "    svg {{ background: #fff; font: 12px monospace; fill: #222 }}\n"
      "    rect {{ fill: #eef3fa; stroke: #45678c }}\n"
      "    circle {{ fill: #45678c }}\n"
      "    line {{ stroke: #45678c }} .link {{ stroke-width: 2 }}\n"
      "    .node {{ font-weight: bold }} .kind, .address {{ font-size: 11px; fill: #555 }}\n"
      "  </style>\n",
      width, height, escaped(topology.about.empty() ? topology.name : topology.about));
  for (std::size_t i = 0; i < layout.columns.size(); ++i) {
    const Column& column = layout.columns[i];
    if (const std::size_t bottom = bottom_of(layout, i); bottom > 0) {
      svg += svg_line(px(column.x), py(2) + 6, px(column.x), py(bottom), "column");
    }
    svg += svg_box(column);
  }
  for (const Row& row : layout.rows) svg += svg_row(layout, row);
  return svg + "</svg>\n";
}

}  // namespace mb::lab
