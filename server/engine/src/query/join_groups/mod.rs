//! The order of inner joins where a table of another database is joined, besides the tables of the lake, with others of
//! its own database: such a table moves to the one of these that it hangs on, so that the two become one statement.
//!
//! A table hangs on another one where all of its equalities are with that one alone. It is the only thing that moves:
//! what has an equality with the lake keeps its place, and with it what it is filtered by while the query runs.

mod region;
mod size;

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Filter, Join, JoinConstraint, LogicalPlan, Projection};

use region::{Condition, Region, Shape};
use size::Size;

/// Regions of more tables keep their order.
const MOST_LEAVES: usize = 32;
/// Of more bytes than these a join has to send half.
const LARGE: f64 = 32e6;

/// What is known of other databases.
pub(super) trait Remotes {
    /// The catalog of all tables of a plan, where that is one and another database's.
    fn catalog(&self, plan: &LogicalPlan) -> Option<String>;

    /// Whether that database computes the plan.
    fn computes(&self, catalog: &str, plan: &LogicalPlan) -> bool;
}

/// The plan with its inner joins in the order described above; schemas stay as they are. Never a join without an
/// equality.
pub(super) fn grouped(plan: LogicalPlan, remotes: &dyn Remotes) -> Result<LogicalPlan> {
    let grouped = plan.transform_down_with_subqueries(|node| {
        Ok(match moved(&node, remotes) {
            Some(moved) => Transformed::yes(moved),
            None => Transformed::no(node),
        })
    })?;
    Ok(grouped.data)
}

/// One input of the region, or several that one database joins.
struct Unit {
    plan: LogicalPlan,
    /// Where the inputs are tables of one other database of known sizes.
    remote: Option<(String, Size)>,
}

/// A join, or a projection of one, with other tables beside each other; nothing where the order stays.
fn moved(node: &LogicalPlan, remotes: &dyn Remotes) -> Option<LogicalPlan> {
    // The projection says which columns nobody asks for any more.
    let (root, exprs) = match node {
        LogicalPlan::Join(_) => {
            let columns = node.schema().columns().into_iter().map(Expr::Column);
            (node, columns.collect())
        }
        LogicalPlan::Projection(projection) if matches!(*projection.input, LogicalPlan::Join(_)) => {
            (projection.input.as_ref(), projection.expr.clone())
        }
        _ => return None,
    };
    let columns = exprs.iter().flat_map(Expr::column_refs);
    let output: BTreeSet<Column> = columns.cloned().collect();
    let joined = Arc::new(reordered(root, &output, remotes)?);
    let projected = Projection::try_new_with_schema(exprs, joined, Arc::clone(node.schema()));
    projected.ok().map(LogicalPlan::Projection)
}

/// The columns of `output` of a join, in no order.
fn reordered(root: &LogicalPlan, output: &BTreeSet<Column>, remotes: &dyn Remotes) -> Option<LogicalPlan> {
    let whole = |plan: &LogicalPlan| {
        let catalog = remotes.catalog(plan);
        catalog.is_some_and(|catalog| remotes.computes(&catalog, plan))
    };
    let Region {
        leaves,
        mut conditions,
        mut shape,
    } = Region::of(root, &whole)?;
    if !(3..=MOST_LEAVES).contains(&leaves.len()) {
        return None;
    }
    let unit = |plan: LogicalPlan| {
        let name = remotes.catalog(&plan);
        let remote = name.and_then(|name| Some((name, Size::of(&plan)?)));
        Unit { plan, remote }
    };
    let mut units: Vec<Option<Unit>> = leaves.into_iter().map(unit).map(Some).collect();
    let mut any = false;
    while let Some((guest, host, merged)) = next_move(&units, &conditions, output, remotes) {
        shape = shape.without(guest)?;
        (units[guest], units[host]) = (None, Some(merged));
        conditions.retain_mut(|condition| !condition.moves(guest, host));
        any = true;
    }
    if !any {
        return None;
    }
    let mut build = Build {
        units,
        conditions,
        output,
    };
    let (joined, _) = build.node(&shape)?;
    build.conditions.is_empty().then_some(joined)
}

/// The next table that moves: it, the one that it hangs on, and the two in one.
fn next_move(
    units: &[Option<Unit>],
    conditions: &[Condition],
    output: &BTreeSet<Column>,
    remotes: &dyn Remotes,
) -> Option<(usize, usize, Unit)> {
    (0..units.len()).find_map(|guest| {
        let remote = |at: usize| units.get(at)?.as_ref()?.remote.as_ref();
        let (catalog, _) = remote(guest)?;
        let equal = conditions.iter().filter_map(|condition| condition.equality());
        let partners: BTreeSet<usize> = equal
            .filter_map(|(one, other)| match (one == guest, other == guest) {
                (true, false) => Some(other),
                (false, true) => Some(one),
                _ => None,
            })
            .collect();
        let host = partners.first().copied().filter(|_| partners.len() == 1)?;
        if remote(host)?.0 != *catalog {
            return None;
        }
        let merged = merged(units, conditions, output, [host, guest])?;
        let (catalog, _) = merged.remote.as_ref()?;
        remotes
            .computes(catalog, &merged.plan)
            .then_some((guest, host, merged))
    })
}

/// Two units as one, where that sends no more than the two by themselves; of much, half.
fn merged(
    units: &[Option<Unit>],
    conditions: &[Condition],
    output: &BTreeSet<Column>,
    pair: [usize; 2],
) -> Option<Unit> {
    let [host, guest] = pair.map(|at| units.get(at)?.as_ref());
    let (host, guest) = (host?, guest?);
    let both = BTreeSet::from(pair);
    let (inside, outside): (Vec<_>, Vec<_>) = conditions
        .iter()
        .partition(|condition| condition.leaves.is_subset(&both));
    let mut needed = output.clone();
    needed.extend(outside.iter().flat_map(|condition| condition.columns()));
    let mut apart = needed.clone();
    apart.extend(inside.iter().flat_map(|condition| condition.columns()));
    let of = |unit: &Unit| unit.remote.clone();
    let ((catalog, one), (_, other)) = (of(host)?, of(guest)?);
    let before = one.sent(&apart) + other.sent(&apart);
    let mut build = Build {
        units: Vec::new(),
        conditions: inside.into_iter().cloned().collect(),
        output: &needed,
    };
    let sides = (host.plan.clone(), BTreeSet::from([pair[0]]));
    let sides = (sides, (guest.plan.clone(), BTreeSet::from([pair[1]])));
    let (plan, _) = build.join(sides.0, sides.1)?;
    let keys = outside.iter().filter(|condition| condition.equality().is_some());
    let names: Vec<&String> = plan.schema().fields().iter().map(|field| field.name()).collect();
    let alone = |key: &Column| names.iter().filter(|name| ***name == key.name).count() == 1;
    let mut keys = keys.flat_map(|condition| condition.columns());
    // Of two columns of one name, what a join finds out while the query runs is asked of neither (`namesakes`).
    if keys.any(|key| plan.schema().has_column(&key) && !alone(&key)) {
        return None;
    }
    let size = Size::of(&plan)?;
    // What is large is read by several connections at once, but for joins.
    let most = if before > LARGE { before / 2.0 } else { before };
    (size.sent(&needed) <= most).then_some(Unit {
        plan,
        remote: Some((catalog, size)),
    })
}

/// A plan, and the leaves that are in it.
type Part = (LogicalPlan, BTreeSet<usize>);

/// A region while it is put together again.
struct Build<'a> {
    units: Vec<Option<Unit>>,
    /// Those that no join has yet.
    conditions: Vec<Condition>,
    output: &'a BTreeSet<Column>,
}

impl Build<'_> {
    fn node(&mut self, shape: &Shape) -> Option<Part> {
        match shape {
            Shape::Leaf(at) => {
                let plan = self.units.get_mut(*at)?.take()?.plan;
                let leaves = BTreeSet::from([*at]);
                let own = self.take(|condition| condition.leaves.is_subset(&leaves));
                let plan = match own.into_iter().map(|condition| condition.expr).reduce(Expr::and) {
                    Some(filter) => LogicalPlan::Filter(Filter::try_new(filter, Arc::new(plan)).ok()?),
                    None => plan,
                };
                Some((plan, leaves))
            }
            Shape::Join(left, right) => {
                let left = self.node(left)?;
                let right = self.node(right)?;
                self.join(left, right)
            }
        }
    }

    /// With all conditions that can be decided here, and the columns that are asked for above.
    fn join(&mut self, left: Part, right: Part) -> Option<Part> {
        let ((left, here), (right, there)) = (left, right);
        let leaves: BTreeSet<usize> = here.union(&there).copied().collect();
        let (mut on, mut filters) = (Vec::new(), Vec::new());
        for condition in self.take(|condition| condition.leaves.is_subset(&leaves)) {
            match condition.sides(&here, &there) {
                Some(pair) => on.push(pair),
                None => filters.push(condition.expr),
            }
        }
        if on.is_empty() {
            return None;
        }
        let join = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            filters.into_iter().reduce(Expr::and),
            JoinType::Inner,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        );
        let join = join.ok()?;
        let above: BTreeSet<Column> = self.conditions.iter().flat_map(Condition::columns).collect();
        let all = join.schema.columns();
        let asked = |column: &&Column| self.output.contains(column) || above.contains(column);
        let kept: Vec<Expr> = all.iter().filter(asked).cloned().map(Expr::Column).collect();
        let join = LogicalPlan::Join(join);
        let plan = if kept.len() == all.len() {
            join
        } else {
            LogicalPlan::Projection(Projection::try_new(kept, Arc::new(join)).ok()?)
        };
        Some((plan, leaves))
    }

    fn take(&mut self, wanted: impl Fn(&Condition) -> bool) -> Vec<Condition> {
        let (taken, left) = std::mem::take(&mut self.conditions).into_iter().partition(wanted);
        self.conditions = left;
        taken
    }
}

#[cfg(test)]
mod tests;
