package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// token is a colour by its role. Charts are drawn in stand-in colours, which
// are then replaced by CSS variables, so that one drawing serves light and dark.
type token uint8

const (
	colorNone token = iota
	colorInk
	colorMuted
	colorGrid
	colorGood
	colorBad
	colorWarn
	colorOne
	colorTwo
	colorThree
	colorFault
	colorFaultInk
	colorGoodFill
	colorBadFill
	colorTwoFill
)

var tokenNames = [...]string{
	"none", "ink", "muted", "grid", "good", "bad", "warn", "one", "two", "three",
	"fault", "fault-ink", "good-fill", "bad-fill", "two-fill",
}

// RGBA makes a token a stand-in colour.
func (t token) RGBA() (r, g, b, a uint32) {
	return color.RGBA{R: 0x01, G: 0x02, B: uint8(t), A: 0xff}.RGBA()
}

func (t token) fill() token {
	switch t {
	case colorGood:
		return colorGoodFill
	case colorBad:
		return colorBadFill
	}
	return colorTwoFill
}

// span is a shaded part of a timeline: a step in force.
type span struct {
	from, to float64
	label    string
}

// mark is an instant that evidence points at.
type mark struct {
	at    float64
	id    string // the HTML id that links lead to
	title string
}

// timeline is a whole drawing: lanes above, panels below, one axis of time.
type timeline struct {
	end    float64 // seconds
	spans  []span
	marks  []mark
	lanes  []lane
	panels []panel
}

const (
	chartWidth   = vg.Length(960)
	panelHeight  = vg.Length(124)
	laneHeight   = vg.Length(28)
	headHeight   = vg.Length(26)
	labelHeight  = vg.Length(16)
	bottomMargin = vg.Length(6)
	leftMargin   = vg.Length(74)
	rightMargin  = vg.Length(12)
	textSize     = vg.Length(10.5)
)

// SVG draws the timeline as an SVG element for an HTML page.
func (t timeline) SVG() template.HTML {
	rows, n := t.labelRows()
	labels := labelHeight * vg.Length(n)
	height := labels + laneHeight*vg.Length(len(t.lanes)) + panelHeight*vg.Length(len(t.panels)) + bottomMargin
	svg := vgsvg.New(chartWidth, height)
	all := draw.NewCanvas(svg, chartWidth, height)
	time := draw.Crop(all, leftMargin, -rightMargin, bottomMargin, -labels)
	t.shade(time)
	t.drawLabels(time, rows)
	top := time.Max.Y
	for _, l := range t.lanes {
		t.drawLane(band(time, top, laneHeight), l)
		top -= laneHeight
	}
	for _, p := range t.panels {
		t.drawPanel(band(time, top, panelHeight), p)
		top -= panelHeight
	}
	var b bytes.Buffer
	if _, err := svg.WriteTo(&b); err != nil {
		return template.HTML(template.HTMLEscapeString(err.Error())) //nolint:gosec // escaped
	}
	return inline(b.String(), t.overlay(all, time))
}

// band is the part of a canvas of that height below top.
func band(c draw.Canvas, top, height vg.Length) draw.Canvas {
	c.Max.Y, c.Min.Y = top, top-height
	return c
}

func (t timeline) x(c draw.Canvas, at float64) vg.Length {
	return c.X(min(max(at/t.end, 0), 1))
}

// shade draws the steps' windows behind everything.
func (t timeline) shade(c draw.Canvas) {
	for _, s := range t.spans {
		from, to := t.x(c, s.from), t.x(c, s.to)
		fillRect(c, colorFault, from, max(to, from+1), c.Min.Y, c.Max.Y)
		for _, x := range []vg.Length{from, to} {
			stroke(c, colorFaultInk, 0.6, vg.Point{X: x, Y: c.Min.Y}, vg.Point{X: x, Y: c.Max.Y})
		}
	}
}

// labelRows gives every step's name a row above the drawing, so that no two
// names overlap, and says how many rows there are.
func (t timeline) labelRows() (rows []int, n int) {
	style := textStyle(colorFaultInk)
	free := []vg.Length{} // where each row is free again
	for _, s := range t.spans {
		from, width := t.labelAt(s)
		row := slices.IndexFunc(free, func(x vg.Length) bool { return x <= from })
		if row < 0 {
			free, row = append(free, 0), len(free)
		}
		free[row] = from + width + style.Width("  ")
		rows = append(rows, row)
	}
	return rows, max(1, len(free))
}

// labelAt is where a step's name begins, from the left, and how wide it is.
func (t timeline) labelAt(s span) (from, width vg.Length) {
	inner := chartWidth - leftMargin - rightMargin
	width = textStyle(colorFaultInk).Width(s.label)
	from = inner * vg.Length(min(max(s.from/t.end, 0), 1))
	return max(min(from, inner+rightMargin-width), 0), width
}

func (t timeline) drawLabels(c draw.Canvas, rows []int) {
	style := textStyle(colorFaultInk)
	for i, s := range t.spans {
		from, _ := t.labelAt(s)
		c.FillText(style, vg.Point{X: c.Min.X + from, Y: c.Max.Y + vg.Length(rows[i])*labelHeight + 4}, s.label)
	}
}

func (t timeline) drawLane(c draw.Canvas, l lane) {
	middle := c.Min.Y + 8
	style := textStyle(colorMuted)
	style.XAlign = draw.XRight
	c.FillText(style, vg.Point{X: c.Min.X - 6, Y: middle - 3.5}, shorten(l.name, 12))
	for _, b := range l.bars {
		fillRect(c, b.color, t.x(c, b.from), t.x(c, b.to), middle, middle+6)
	}
	for _, b := range l.inBar {
		fillRect(c, b.color, t.x(c, b.from), t.x(c, b.to), middle-4, middle-1.5)
	}
	style = textStyle(colorInk)
	free := c.Min.X
	for _, k := range l.ticks {
		x := t.x(c, k.at)
		stroke(c, k.color, 1.6, vg.Point{X: x, Y: middle - 6}, vg.Point{X: x, Y: middle + 8})
		if k.at > 0 && x >= free && k.label != "started" {
			style.Color = k.color
			c.FillText(style, vg.Point{X: x - 1, Y: middle + 8}, k.label)
			free = x + 4 + style.Width(k.label)
		}
	}
}

// drawPanel draws one chart: its head with a legend, the axes and the curves.
func (t timeline) drawPanel(c draw.Canvas, p panel) {
	t.drawHead(c, p)
	chart := plot.New()
	chart.BackgroundColor = nil
	chart.X.Min, chart.X.Max = 0, t.end
	chart.X.Tick.Marker = plot.TickerFunc(secondTicks)
	chart.Y.Min, chart.Y.Max = p.bounds()
	chart.Y.Tick.Marker = plot.TickerFunc(valueTicks)
	if p.log {
		chart.Y.Scale = plot.LogScale{}
		chart.Y.Tick.Marker = plot.TickerFunc(latencyTicks)
	}
	for _, axis := range []*plot.Axis{&chart.X, &chart.Y} {
		axis.Tick.Label.Color, axis.Color, axis.Tick.Color = colorMuted, colorGrid, colorGrid
		axis.Tick.Label.Font, axis.Padding = sans(textSize-1), 0
		axis.Width, axis.Tick.Width = 0.8, 0
		axis.Tick.Length = 3
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = colorGrid, colorGrid
	grid.Vertical.Width, grid.Horizontal.Width = 0.5, 0.5
	chart.Add(grid)
	for _, l := range p.lines {
		addLine(chart, l)
	}
	c.Max.Y -= headHeight
	inner := chart.DataCanvas(c)
	chart.Draw(draw.Crop(c, c.Min.X-inner.Min.X, c.Max.X-inner.Max.X, 0, 0))
}

func (t timeline) drawHead(c draw.Canvas, p panel) {
	y := c.Max.Y - headHeight + 7
	head := textStyle(colorInk)
	c.FillText(head, vg.Point{X: c.Min.X, Y: y}, p.title)
	x := c.Min.X + head.Width(p.title) + 6
	unit := textStyle(colorMuted)
	c.FillText(unit, vg.Point{X: x, Y: y}, p.unit)
	x = c.Max.X
	for i := len(p.lines) - 1; i >= 0; i-- {
		l := p.lines[i]
		x -= unit.Width(l.name)
		c.FillText(unit, vg.Point{X: x, Y: y}, l.name)
		x -= 18
		style := draw.LineStyle{Color: l.color, Width: 2}
		if l.dashed {
			style.Dashes = []vg.Length{3, 2}
		}
		c.StrokeLine2(style, x, y+3.5, x+14, y+3.5)
		x -= 12
	}
}

// bounds are the limits of the vertical axis.
func (p panel) bounds() (low, high float64) {
	low, high = math.Inf(1), 0
	for _, l := range p.lines {
		for _, pt := range l.points {
			if !math.IsNaN(pt.y) {
				low, high = min(low, pt.y), max(high, pt.y)
			}
		}
	}
	if p.log {
		if math.IsInf(low, 1) {
			return 0.001, 1
		}
		return math.Pow(10, math.Floor(math.Log10(low))), max(high*1.3, low*10)
	}
	return 0, max(high*1.08, 1)
}

// addLine adds a curve in pieces, broken where there is no value.
func addLine(chart *plot.Plot, l line) {
	var piece plotter.XYs
	flush := func() {
		if len(piece) == 0 {
			return
		}
		if len(piece) == 1 {
			piece = append(piece, plotter.XY{X: piece[0].X + 0.05, Y: piece[0].Y})
		}
		if curve, err := plotter.NewLine(piece); err == nil {
			curve.Color, curve.Width = l.color, 1.3
			if l.filled {
				curve.FillColor = l.color.fill()
			}
			if l.dashed {
				curve.Dashes = []vg.Length{4, 3}
			}
			chart.Add(curve)
		}
		piece = nil
	}
	for _, p := range l.points {
		if math.IsNaN(p.y) {
			flush()
			continue
		}
		piece = append(piece, plotter.XY{X: p.x, Y: p.y})
	}
	flush()
}

// secondTicks are at most twelve, at round times.
func secondTicks(low, high float64) []plot.Tick {
	step := 1.0
	for _, s := range []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600} {
		if step = s; (high-low)/step <= 12 {
			break
		}
	}
	var out []plot.Tick
	for v := math.Ceil(low/step) * step; v <= high; v += step {
		out = append(out, plot.Tick{Value: v, Label: number(v) + "s"})
	}
	return out
}

func valueTicks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	return labelled(ticks, number)
}

func latencyTicks(low, high float64) []plot.Tick {
	var out []plot.Tick
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		v := math.Pow(10, e)
		if v >= low*0.999 && v <= high {
			out = append(out, plot.Tick{Value: v, Label: Seconds(v)})
		}
	}
	return out
}

// labelled keeps the major ticks, with labels of our own.
func labelled(ticks []plot.Tick, label func(float64) string) []plot.Tick {
	var out []plot.Tick
	for _, t := range ticks {
		if !t.IsMinor() {
			out = append(out, plot.Tick{Value: t.Value, Label: label(math.Round(t.Value*1e6) / 1e6)})
		}
	}
	return out
}

// overlay is what gonum/plot does not know: a group for each instant that
// evidence points at, which a link to its id makes stand out.
func (t timeline) overlay(all, c draw.Canvas) string {
	var b strings.Builder
	for _, m := range t.marks {
		x := strconv.FormatFloat(t.x(c, m.at).Points(), 'f', 1, 64)
		fmt.Fprintf(&b, `<g class="mark" id="%s"><title>%s</title>`+
			`<line x1="%s" x2="%s" y1="%.1f" y2="%.1f"/></g>`,
			template.HTMLEscapeString(m.id), template.HTMLEscapeString(m.title), x, x,
			(all.Max.Y - c.Max.Y).Points(), (all.Max.Y - c.Min.Y).Points())
	}
	return b.String()
}

func textStyle(c token) draw.TextStyle {
	style := plot.New().X.Tick.Label
	style.Color, style.Font = c, sans(textSize)
	style.XAlign, style.YAlign = draw.XLeft, draw.YBottom
	return style
}

// sans is the face by which text is measured; the page's style sheet names
// faces with the same metrics.
func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

func fillRect(c draw.Canvas, color token, x0, x1, y0, y1 vg.Length) {
	c.SetColor(color)
	c.Fill(vg.Rectangle{Min: vg.Point{X: x0, Y: y0}, Max: vg.Point{X: x1, Y: y1}}.Path())
}

func stroke(c draw.Canvas, color token, width vg.Length, from, to vg.Point) {
	c.StrokeLine2(draw.LineStyle{Color: color, Width: width}, from.X, from.Y, to.X, to.Y)
}

func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return "…" + string(r[len(r)-n+1:])
}

var standIn = regexp.MustCompile(`#0102([0-9A-F]{2})`)

// inline turns a stand-alone SVG document into an element of an HTML page:
// without its XML head and its fixed size, in the page's own fonts and colours.
func inline(svg, overlay string) template.HTML {
	if i := strings.Index(svg, "<svg"); i > 0 {
		svg = svg[i:]
	}
	svg = sizeOf.ReplaceAllString(svg, `<svg class="timeline" role="img"`)
	svg = fontOf.ReplaceAllString(svg, "")
	svg = standIn.ReplaceAllStringFunc(svg, func(s string) string {
		n, err := strconv.ParseUint(s[5:], 16, 8)
		if err != nil || int(n) >= len(tokenNames) {
			return s
		}
		return "var(--" + tokenNames[n] + ")"
	})
	if i := strings.LastIndex(svg, "</svg>"); i >= 0 {
		svg = svg[:i] + overlay + svg[i:]
	}
	return template.HTML(svg) //nolint:gosec // vgsvg escapes every text it draws
}

var (
	sizeOf = regexp.MustCompile(`<svg width="[^"]*" height="[^"]*"`)
	fontOf = regexp.MustCompile(`font-family:[^;]*;font-variant:[^;]*;font-weight:[^;]*;font-style:[^;"]*;?`)
)
