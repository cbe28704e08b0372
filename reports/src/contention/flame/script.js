(function () {
  "use strict";
  var LETTER = 6.7, NEAR = 0.002;
  var picture = document.documentElement;
  var groups = Array.prototype.slice.call(document.getElementById("boxes").children);
  var boxes = groups.map(function (group) {
    var rect = group.querySelector("rect"), title = group.querySelector("title").textContent;
    return {
      group: group, rect: rect, text: group.querySelector("text"),
      name: title.slice(0, title.lastIndexOf(" (")),
      x: Number(rect.getAttribute("x")), width: Number(rect.getAttribute("width")), y: Number(rect.getAttribute("y"))
    };
  });
  var all = boxes[0];

  function place(box, x, width) {
    box.rect.setAttribute("x", x);
    box.rect.setAttribute("width", width);
    box.text.setAttribute("x", x + 3);
    var room = Math.max(0, Math.floor((width - 6) / LETTER)), letters = Array.from(box.name);
    box.text.textContent = letters.length <= room ? box.name : room < 4 ? "" : letters.slice(0, room - 2).join("") + "..";
  }

  // `chosen` and what stands on it fill the width; what it stands on is pale; all else is hidden.
  function magnify(chosen) {
    var scale = all.width / chosen.width;
    boxes.forEach(function (box) {
      var within = box.x >= chosen.x - NEAR && box.x + box.width <= chosen.x + chosen.width + NEAR && box.y <= chosen.y;
      var below = box.x <= chosen.x + NEAR && box.x + box.width >= chosen.x + chosen.width - NEAR && box.y > chosen.y;
      box.group.style.display = within || below ? "" : "none";
      box.group.classList.toggle("below", below);
      if (within) {
        place(box, all.x + (box.x - chosen.x) * scale, box.width * scale);
      } else if (below) {
        place(box, all.x, all.width);
      }
    });
  }

  function search(words) {
    var found = document.getElementById("found"), pattern = null, sum = 0, end = -1;
    if (words) {
      try { pattern = new RegExp(words); } catch (error) { found.textContent = "not a pattern: " + words; return; }
    }
    // A box comes after the one that it stands on: what stands on a hit is not counted twice.
    boxes.forEach(function (box) {
      var hit = pattern !== null && pattern.test(box.name);
      box.group.classList.toggle("hit", hit);
      if (hit && box.x >= end - NEAR) {
        sum += box.width;
        end = box.x + box.width;
      }
    });
    found.textContent = pattern === null ? "" : words + ": " + (100 * sum / all.width).toFixed(1) + "%";
  }

  function ask() {
    var words = window.prompt("Names to look for (a regular expression; nothing: stop looking)", "");
    if (words !== null) { search(words); }
  }

  boxes.forEach(function (box) { box.rect.addEventListener("click", function () { magnify(box); }); });
  var button = document.getElementById("search");
  button.textContent = "search ( / )   click: magnify   Esc: all";
  button.addEventListener("click", ask);
  picture.ownerDocument.addEventListener("keydown", function (event) {
    if (event.key === "/") { event.preventDefault(); ask(); }
    if (event.key === "Escape") { magnify(all); search(""); }
  });
})();
