// What the trials grid needs from JavaScript: its theme, and two cells. Loaded by Dash from the assets folder.

(function () {
  var functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  var components = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});

  // Colors are the page's variables, so that the grid follows the color scheme without being drawn again.
  functions.rectunerTheme = function (theme) {
    return theme.withParams({
      backgroundColor: "transparent",
      foregroundColor: "var(--text)",
      borderColor: "var(--line)",
      headerBackgroundColor: "transparent",
      headerTextColor: "var(--muted)",
      headerFontWeight: 500,
      rowHoverColor: "var(--hover)",
      accentColor: "var(--accent)",
      fontFamily: "inherit",
      fontSize: 13,
      headerFontSize: 12,
      wrapperBorder: false,
      columnBorder: false,
      cellHorizontalPadding: 10,
      tooltipBackgroundColor: "var(--surface)",
      tooltipTextColor: "var(--text)",
    });
  };

  function follow(event, href) {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    window.history.pushState({}, "", href);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  }

  components.TrialLink = function (props) {
    if (!props.data.href) return null;
    return React.createElement(
      "a",
      {
        href: props.data.href,
        className: "trial-link",
        onClick: function (event) {
          follow(event, props.data.href);
        },
      },
      props.value,
      props.data.best ? React.createElement("span", { className: "best-mark", title: "best trial" }, "★") : null,
    );
  };

  components.TrialState = function (props) {
    return React.createElement("span", { className: "state state-" + props.value }, props.value);
  };
})();
