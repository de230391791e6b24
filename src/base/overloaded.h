// SPDX-License-Identifier: GPL-2.0-or-later
//
// std::visit with one lambda per alternative.
#pragma once

namespace mb {

template <class... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

}  // namespace mb
